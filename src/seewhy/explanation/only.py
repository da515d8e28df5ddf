"""Only the images that are answered wrongly, or rightly: all are answered, then those alone are explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from seewhy.errors import DataError, OptionError, counted
from seewhy.explanation.shard import explain_shard
from seewhy.records import Outcome, Progress, one_of
from seewhy.run.machine import usual_workers
from seewhy.run.plan import Only, Plan
from seewhy.run.workers import run_shards

ONLY = ("wrong", "right")
_DECIDING = ("classification", "multi-label", "segmentation")


def check_only(plan: Plan, only: str | None) -> None:
    """Raise the error that says why images cannot be told apart by their answers, before any is answered."""
    if only is None:
        return
    one_of("--only", only, ONLY)
    if plan.task not in _DECIDING:
        raise OptionError(
            f"--only {only} is about decisions for a class, but this network's output is read as: {plan.task}.\n"
            "  Leave it out."
        )
    if any(score.count is not None for score in plan.scores):
        raise OptionError(
            f"--only {only} goes with one target for all images, not with a list or with masks for each.\n"
            "  In Python explain all, then:  explanation.where(wrong=True)"
        )
    if plan.table.items is None and not any(image.label for image in plan.table.images):
        raise _without_labels(only)


def with_only(plan: Plan, only: str | None, *, workers: int | None = 1, progress: Progress) -> Plan:
    """The plan of the images that the network answers wrongly or rightly, as if they alone had been given.

    They are fed as all are, and keep their order. An image without a label, or that is not answered, is neither.
    Raises DataError where there is none.
    """
    if only is None:
        return plan
    outcomes, wanted = list(_answered(plan, workers, progress)), only == "right"
    n_right, n_wrong = (sum(outcome.correct is judged for outcome in outcomes) for judged in (True, False))
    if not n_right + n_wrong:
        raise _without_labels(only)
    if not (n_right if wanted else n_wrong):
        raise DataError(
            f"There is nothing to explain: none of {counted(n_right + n_wrong, 'labelled image')} is answered "
            f"{_words(only)}.\n  Leave --only {only} out, or take more images (--limit, --sample).",
            slug="no-images",
        )
    images = zip(plan.table.images, outcomes, strict=True)
    chosen = tuple(image for image, outcome in images if outcome.correct is wanted)
    facts = Only(only, len(outcomes), n_right, n_wrong)
    return replace(
        plan, table=replace(plan.table, images=chosen), only=facts, notes=(*plan.notes, f"Explained: {facts}.")
    )


def _answered(plan: Plan, workers: int | None, progress: Progress) -> Iterator[Outcome]:
    """The row of every image, without any map."""
    shards, bare = plan.shards(), replace(plan, methods=(), layers=(), smooth=())
    count = usual_workers(plan.classifier.device, len(shards)) if workers is None else workers
    for result in run_shards(partial(explain_shard, bare, overlays=False), shards, count):
        progress(result.shard.stop, len(plan.table))
        yield from result.outcomes


def _words(only: str) -> str:
    return f"{only}ly"


def _without_labels(only: str) -> DataError:
    return DataError(
        f"Which images are answered {_words(only)} is not known: none has a label that is a class of this network.\n"
        f"  Use class folders, or a CSV with a column 'label'; or leave --only {only} out.",
        slug="no-labels",
    )
