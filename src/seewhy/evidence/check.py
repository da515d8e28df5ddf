"""`check`: does the classifier work, is it fed right, and may its maps be read?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.layers.choice import trace
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.scores.targets import Target, probabilities, two_sided
from seewhy.data.classifier import RANDOM_NOTE, Classifier
from seewhy.errors import OptionError, counted, listed
from seewhy.estimates import Floats
from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of, behaviour_of_labels, held_out_of
from seewhy.evidence.checks.feeding import Feeding, judge, margins, variants_of
from seewhy.evidence.checks.findings import (
    LEVELS,
    CheckFinding,
    Reason,
    behaviour_findings,
    feeding_findings,
    idle_findings,
    map_findings,
    weights_findings,
)
from seewhy.evidence.checks.idle import idle_layers
from seewhy.evidence.checks.label_findings import label_findings
from seewhy.evidence.checks.label_scores import truth_of
from seewhy.evidence.checks.readings import Passes, write_records
from seewhy.evidence.checks.trust import Trust, examine, n_steps
from seewhy.evidence.thresholds import CHECK_THRESHOLDS
from seewhy.records import Preprocess, Progress
from seewhy.render import notebook
from seewhy.render.page import BAD, CAUTION, GOOD, UNKNOWN
from seewhy.run.folder import RunFolder, default_folder
from seewhy.run.identity import RunIdentity, check_unchanged, content_of, run_identity
from seewhy.run.machine import environment
from seewhy.run.plan import Plan, first_input, make_plan
from seewhy.run.progress import chosen_progress
from seewhy.store.frames import frame_of
from seewhy.store.plain import plain
from seewhy.store.tables import read_digests

MOST_IMAGES = 2000  # unless --limit or --sample says otherwise
N_MAPS = 64  # images whose maps are examined


class SampleNote(str):
    """The note of a plan that says how many of all images are taken."""


@dataclass(repr=False)
class Check:
    """What `check` gives: `findings`, worst first, and behind them `behaviour`, `feeding` and `maps` by layer.

    `folder` is the run folder that it was written to; None where it is in memory alone.
    """

    findings: tuple[CheckFinding, ...]
    grades: dict[str, str]
    behaviour: Behaviour
    feeding: Feeding | None
    maps: tuple[tuple[Trust, tuple[Reason, ...]], ...]
    facts: dict[str, Any]
    plan: Plan = field(compare=False)
    passes: Passes = field(compare=False)
    seed: int = 0
    folder: Path | None = None

    @property
    def is_bad(self) -> bool:
        """Whether any finding is bad news."""
        return any(finding.level == "bad" for finding in self.findings)

    def __repr__(self) -> str:
        grades = ", ".join(f"{layer} {grade}" for layer, grade in self.grades.items())
        said = "\n".join(f"  {finding.level.upper():<12}{finding.text}" for finding in self.findings)
        return f"<Check of {counted(self.facts['images'], 'image')}; maps: {grades}>\n{said}"

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
                "behaviour": behaviour,
                "maps": [
                    {**vars(trust), "reasons": [vars(reason) for reason in reasons]} for trust, reasons in self.maps
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
        run, identity = RunFolder(Path(folder)), check_identity(self.plan, self.seed)
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
        classifier, images, target=target, layers=layers, method=method, grid=grid, limit=limit, sample=sample,
        batch_size=batch_size, seed=seed,
    )  # fmt: skip
    if out is not None:
        run = RunFolder(Path(out))
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
        plan = replace(sampled, notes=(*sampled.notes, note))
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
    """Everything that decides the result of a check."""
    return run_identity(plan, "check", overlays=False, seed=seed)


def check_in_folder(plan: Plan, folder: Path, *, seed: int, progress: Progress) -> dict[str, Any]:
    """The check's summary, from a run folder where it is finished, else made and written to it."""
    run = RunFolder(folder)
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
    summary = {**result.summary(), "environment": environment(result.plan.classifier.device)}
    run.finish(identity.whole(content_of(result.plan, read_digests(run.path))), summary)
    return summary


def default_check_folder(plan: Plan, seed: int) -> Path:
    """runs/check-<hash of the options>."""
    return default_folder(check_identity(plan, seed), batch_asked=plan.batch_asked)


def run_check(plan: Plan, *, seed: int = 0, progress: Progress) -> Check:
    """The check of a plan."""
    preprocess = plan.classifier.preprocess
    variants = variants_of(preprocess) if isinstance(preprocess, Preprocess) else {}
    chosen = [round(step * (len(plan.table) - 1) / max(1, min(N_MAPS, len(plan.table)) - 1)) for step in range(N_MAPS)]
    few = list(dict.fromkeys(chosen))[: len(plan.table)]
    passes = Passes(plan, variants, few)
    calls = trace(plan.classifier.model, _on_device(plan, first_input(plan.classifier, plan.table)))
    total = len(plan.table) + len(few) * n_steps(calls, plan.classifier.model)
    done = 0
    for count in passes.run():
        done += count
        progress(done, total)

    def step() -> None:
        nonlocal done
        done += len(few)
        progress(min(done, total), total)

    inputs = torch.cat(passes.kept)
    targets = _targets(plan)
    classes = None if targets is None else torch.full((len(inputs),), targets)
    trusts = examine(
        plan.classifier.model,
        inputs,
        plan.layers,
        plan.methods[0],
        classes,
        labels=passes.kept_labels,
        seed=seed,
        batch_size=plan.batch_size,
        step=step,
    )
    progress(total, total)
    result = _judged(plan, passes, inputs, trusts, seed)
    passes.logits, passes.kept = {"": passes.logits[""]}, []  # all that its rows need
    return result


def _judged(plan: Plan, passes: Passes, inputs: Tensor, trusts: Sequence[Trust], seed: int) -> Check:
    logits = torch.cat(passes.logits[""])
    finite = logits.isfinite().all(dim=1)
    of_classes = probabilities(logits[finite]).numpy()
    labels = [label for label, fine in zip(passes.labels, finite.tolist(), strict=True) if fine]
    splits = [split for split, fine in zip(passes.splits, finite.tolist(), strict=True) if fine]
    if plan.task == "multi-label":
        behaviour = behaviour_of_labels(logits[finite].numpy(), labels, plan.classes, splits)
    else:
        behaviour = behaviour_of(logits[finite].numpy(), of_classes, labels, plan.classes, splits)
    feeding, why_not = _feeding(plan, passes, behaviour.permutation or plan.classes)
    said_of = label_findings if plan.task == "multi-label" else behaviour_findings
    findings = said_of(behaviour) if behaviour.n_images else []
    if RANDOM_NOTE in plan.classifier.notes:
        findings += weights_findings(findings)
    findings += feeding_findings(feeding, why_not)
    if len(inputs) > 1:
        some = _on_device(plan, inputs[:16])
        findings += idle_findings(*idle_layers(plan.classifier.model, some), len(some))
    maps, grades = [], {}
    for trust in trusts:
        finding, grade, reasons = map_findings(trust)
        findings.append(finding)
        grades[trust.layer] = grade
        maps.append((trust, tuple(reasons)))
    broken = int((~finite).sum())
    if broken:
        text = f"{broken} of {len(logits):,} images give NaN or infinite logits."
        findings.append(
            CheckFinding("bad", "works", text, "Look at the weights and the input's range.", {"count": broken})
        )
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    facts = {
        "images": len(plan.table),
        "without_result": sum(passes.reasons.values()),
        "reasons": dict(passes.reasons.most_common(5)),
        "classes": list(plan.classes),
        "method": plan.methods[0],
        "layers": list(plan.grids),
        "score": plan.scores[0].name,
        "preprocess": _described(plan),
        "sampled": next((note for note in plan.notes if isinstance(note, SampleNote)), ""),
        "notes": list(plan.notes),
        "feeding": None if feeding is None else {"auc": feeding.auc, "n": feeding.n_images},
    }
    return Check(
        findings=tuple(findings),
        grades=grades,
        behaviour=behaviour,
        feeding=feeding,
        maps=tuple(maps),
        facts=facts,
        plan=plan,
        passes=passes,
        seed=seed,
    )


def _feeding(plan: Plan, passes: Passes, classes: Sequence[str]) -> tuple[Feeding | None, str]:
    """The sweep judged by the labels, or why it cannot be; `classes` in the order that the logits seem to have."""
    if not isinstance(plan.classifier.preprocess, Preprocess):
        return None, "the preprocessing is a function, which seewhy cannot vary"
    if plan.table.items is not None:
        return None, "the images are tensors or a Dataset, already preprocessed"
    several = plan.task == "multi-label"
    labelled = np.array([label is not None if several else label in classes for label in passes.labels], dtype=bool)
    known, _ = held_out_of(passes.splits, labelled)
    labels = [label for label, taken in zip(passes.labels, known, strict=True) if taken]
    truth = truth_of(labels, classes) if several else np.array([classes.index(label or "") for label in labels])
    if len({*map(str, truth.tolist())}) < 2:
        return None, "labels of two classes are needed"
    scores: dict[str, Floats] = {}
    for name, parts in passes.logits.items():
        logits = torch.cat(parts)
        scores[name] = np.nan_to_num(logits.numpy()[known] if several else margins(two_sided(logits).numpy()[known]))
    tried = [(name, passes.options[name], values) for name, values in scores.items() if name]
    tried = _distinct(tried, scores[""])
    return (judge(scores[""], truth, tried), "") if tried else (None, "it answers the same however it is fed")


def _distinct(tried: list[tuple[str, str, Floats]], current: Floats) -> list[tuple[str, str, Floats]]:
    """Without the variants that give every image the same input as now (a crop of a square image)."""
    return [variant for variant in tried if not np.array_equal(variant[2], current)]


def _targets(plan: Plan) -> int | None:
    """The index of the class whose maps are asked for; None where it differs between the images."""
    name = plan.scores[0].name.removeprefix("margin:")
    return plan.classes.index(name) if name in plan.classes else None


def _on_device(plan: Plan, inputs: Tensor) -> Tensor:
    like = next((p for p in plan.classifier.model.parameters() if p.is_floating_point()), inputs)
    return inputs.to(like.device, like.dtype)


def _described(plan: Plan) -> str:
    preprocess = plan.classifier.preprocess
    return preprocess.describe() if isinstance(preprocess, Preprocess) else "a function"
