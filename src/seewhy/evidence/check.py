"""`check`: does the classifier work, is it fed right, and may its maps be read?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.scores.targets import Target
from seewhy.data.networks.classifier import Classifier
from seewhy.data.tables.clusters import ClusterBy
from seewhy.errors import OptionError, counted, listed
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.feeding import Feeding
from seewhy.evidence.checks.findings import CheckFinding
from seewhy.evidence.checks.judgement import SampleNote, judged
from seewhy.evidence.checks.leaks import Leaks, leak_rows, leaks_summary
from seewhy.evidence.checks.map_findings import Reason
from seewhy.evidence.checks.readings import Passes, write_records
from seewhy.evidence.checks.trust import Trust
from seewhy.evidence.thresholds import CHECK_THRESHOLDS
from seewhy.records import Progress, checked_folder
from seewhy.render import notebook
from seewhy.render.page import BAD, CAUTION, GOOD, UNKNOWN
from seewhy.run.folder import RunFolder, default_folder
from seewhy.run.identity import RunIdentity, check_unchanged, content_of, run_identity
from seewhy.run.machine import environment
from seewhy.run.plan import Plan, make_plan
from seewhy.run.progress import chosen_progress
from seewhy.store import manifest
from seewhy.store.frames import frame_of
from seewhy.store.plain import plain
from seewhy.store.schema import LEAKS
from seewhy.store.tables import read_digests, write_rows

MOST_IMAGES = 2000  # unless --limit or --sample says otherwise


@dataclass(repr=False, eq=False)
class Check:
    """What `check` gives: `findings`, worst first, and behind them `behaviour`, `feeding` and `graded` by layer.

    `graded` has for each layer what was measured of its maps, and the reasons for its grade. `leaks` are pictures and
    clusters that train shares with the split that it is judged by; None where there are not both.

    `folder` is the run folder that it was written to; None where it is in memory alone.
    """

    findings: tuple[CheckFinding, ...]
    grades: dict[str, str]
    behaviour: Behaviour
    feeding: Feeding | None
    graded: tuple[tuple[Trust, tuple[Reason, ...]], ...]
    facts: dict[str, Any]
    plan: Plan = field(compare=False)
    passes: Passes = field(compare=False)
    leaks: Leaks | None = None
    seed: int = 0
    folder: Path | None = None

    @property
    def is_bad(self) -> bool:
        """Whether any finding is bad news."""
        return any(finding.level == "bad" for finding in self.findings)

    @property
    def maps(self) -> tuple[tuple[Trust, tuple[Reason, ...]], ...]:
        """The old name of `graded`: maps are what an explanation has."""
        warnings.warn(
            "check.maps is called check.graded now, and the old name will go.", DeprecationWarning, stacklevel=2
        )
        return self.graded

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple(self.facts["classes"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided, in sentences."""
        return tuple(self.facts["notes"])

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[CheckFinding]:
        return iter(self.findings)

    def __repr__(self) -> str:
        where = f"; in {self.folder}" if self.folder else ""
        grades = ", ".join(f"{layer} {grade}" for layer, grade in self.grades.items())
        said = "\n".join(f"  {finding.level.upper():<12}{finding.text}" for finding in self.findings)
        return f"<Check of {counted(self.facts['images'], 'image')}; maps: {grades}{where}>\n{said}"

    def _repr_html_(self) -> str:
        grades = [f"maps of {layer}: grade {grade}" for layer, grade in self.grades.items()]
        return notebook.page(
            notebook.heading("Check", [*_header(self), *grades]),
            *(
                notebook.card(finding.level.upper(), "", finding.text, (), finding.todo, colour=_COLOURS[finding.level])
                for finding in self.findings
            ),
        )

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each finding: level, part, text, todo."""
        return [
            {"level": finding.level, "part": finding.part, "text": finding.text, "todo": finding.todo}
            for finding in self.findings
        ]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        behaviour = {**vars(self.behaviour), "confusion": None, "collapsed_to": self.behaviour.collapsed_to}
        behaviour["chance"] = self.behaviour.chance
        if self.behaviour.confusion is not None and len(self.behaviour.classes) <= 50:
            behaviour["confusion"] = self.behaviour.confusion.tolist()
        summary: dict[str, Any] = plain(
            {
                **self.facts,
                "findings": [finding.as_stored() for finding in self.findings],
                "grades": self.grades,
                "leaks": None if self.leaks is None else leaks_summary(self.leaks),
                "behaviour": behaviour,
                "maps": [
                    {**vars(trust), "reasons": [vars(reason) for reason in reasons]} for trust, reasons in self.graded
                ],
                "thresholds": CHECK_THRESHOLDS,
            }
        )
        return summary

    def save(self, folder: str | Path) -> Path:
        """Write the run folder to one that is empty or does not exist; gives it back.

        Raises StoreError where it holds something else; one that holds this very check is left as it is.
        """
        if self.folder is None:
            check_unchanged(self.plan)
        run, identity = RunFolder(Path(folder), "check"), check_identity(self.plan, self.seed)
        with run.held():
            if run.open(identity) is None:
                _write(self, run, identity)
        self.folder = run.path
        return run.path


_COLOURS = {"bad": BAD, "caution": CAUTION, "cannot say": UNKNOWN, "good": GOOD}


def _header(result: Check) -> list[str]:
    """Images, classes and accuracy in words."""
    images, accuracy = counted(result.facts["images"], "image"), result.behaviour.accuracy
    without = result.facts["without_result"]
    header = [f"{images}, {without:,} without a result" if without else images]
    header += [f"classes {listed(result.facts['classes'])}"]
    return header + ([f"accuracy {accuracy} on {counted(accuracy.n, 'image')}"] if accuracy else [])


def check(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    target: Target = "predicted",
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    grid: str | None = None,
    cluster_by: ClusterBy = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> Check:
    """Whether the classifier works, is fed right, and gives maps that may be read; findings, worst first.

    The model is left exactly as found.

    Args:
        classifier, images: as in explain; labels let it say more
        target: one target, as in explain
        layers, method, grid: whose maps are examined: several layers, but one method, by activation or
            gradient
        cluster_by: as in audit
        limit, sample, batch_size, seed: as in explain
        out: a run folder; None: in memory
        progress: as in explain

    Returns:
        a Check.

    Raises:
        as explain does, and OptionError for what it cannot judge: a network that decides for no class, two
        methods or targets at once, or a method that runs the network too often.

    Example:
        >>> check = seewhy.check(classifier, "faces/valid", seed=0)
        >>> for finding in check.findings:
        ...     print(finding.level, finding.text)
        >>> print(check.grades, check.is_bad)
    """
    plan = check_plan(
        classifier, images, target=target, layers=layers, method=method, grid=grid, cluster_by=cluster_by, limit=limit,
        sample=sample, batch_size=batch_size, seed=seed,
    )  # fmt: skip
    if out is not None:
        run = RunFolder(checked_folder(out), "check")
        plan = run.as_begun(plan)
        run.holding(check_identity(plan, seed))  # refused before any work is done
    with chosen_progress(progress, "Checking") as update:
        result = run_check(plan, seed=seed, progress=update)
    if out is not None:
        result.save(out)
    return result


def check_plan(classifier: Classifier | nn.Module, images: Any, **options: Any) -> Plan:
    """The plan of a check: that of an explanation, of at most 2,000 images where no number is asked for."""
    plan = make_plan(classifier, images, **options)
    if options.get("limit") is None and options.get("sample") is None and len(plan.table) > MOST_IMAGES:
        sampled = make_plan(classifier, images, **{**options, "sample": MOST_IMAGES})
        counts = f"{len(sampled.table):,} of {len(plan.table):,} images"
        note = SampleNote(f"A seeded sample: {counts} (--sample and --limit take others).")
        plan = replace(sampled, notes=(*sampled.notes, note), beside=plan.table.images)
    _check_scope(plan)
    return plan


def _check_scope(plan: Plan) -> None:
    """Raise OptionError for what a check cannot judge."""
    if plan.task not in ("classification", "multi-label"):
        raise OptionError(f"check judges classifiers, but this network's output is read as: {plan.task} (--task).")
    if len(plan.methods) > 1 or len(plan.scores) > 1:
        raise OptionError("check examines the maps of one method and one target at a time.  Name one of each.")
    if plan.method(plan.methods[0]).kind not in ("gradient", "activation"):
        fitting = [name for name, method in METHODS.items() if method.kind in ("gradient", "activation")]
        raise OptionError(
            f"check does not examine maps of {plan.methods[0]}, which runs the network too often, or may.\n"
            f"  Methods that it examines: {listed(fitting, 20)}"
        )


def check_identity(plan: Plan, seed: int) -> RunIdentity:
    """Everything that decides the result of a check: also images that are compared and not judged."""
    compared = manifest.digest_of([[i.id, i.label, i.split, i.cluster] for i in plan.beside]) if plan.beside else None
    return run_identity(plan, "check", overlays=False, seed=seed, compared=compared)


def check_in_folder(plan: Plan, folder: Path, *, seed: int, progress: Progress) -> dict[str, Any]:
    """The check's summary, from a run folder where it is finished, else made and written to it."""
    run = RunFolder(folder, "check")
    with run.held():
        plan = run.as_begun(plan)
        identity = check_identity(plan, seed)
        finished = run.open(identity)
        if finished is not None:
            return finished
        return _write(run_check(plan, seed=seed, progress=progress), run, identity)


def _write(result: Check, run: RunFolder, identity: RunIdentity) -> dict[str, Any]:
    """Write a check to the folder that is held for it; gives its summary."""
    write_records(run.path, result.passes)
    if result.leaks is not None and result.leaks.copies.copies:
        write_rows(run.path / "leaks.parquet", leak_rows(result.leaks), LEAKS)
    summary = {**result.summary(), "environment": environment(result.plan.classifier.device)}
    run.finish(identity.whole(content_of(result.plan, read_digests(run.path))), summary)
    return summary


def default_check_folder(plan: Plan, seed: int) -> Path:
    """runs/check-<hash of the options>."""
    return default_folder(check_identity(plan, seed), batch_asked=plan.batch_asked)


def run_check(plan: Plan, *, seed: int = 0, progress: Progress) -> Check:
    """The check of a plan."""
    judgement, passes = judged(plan, seed=seed, progress=progress)
    return Check(**vars(judgement), plan=plan, passes=passes, seed=seed)
