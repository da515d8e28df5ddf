"""What a check finds: from the passes over all images and the examined maps to findings, grades and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.cam.layers.choice import trace
from seewhy.cam.scores.targets import probabilities, two_sided
from seewhy.data.networks.classifier import RANDOM_NOTE
from seewhy.estimates import Floats
from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of, behaviour_of_labels, held_out_of
from seewhy.evidence.checks.feeding import Feeding, judge, margins, variants_of
from seewhy.evidence.checks.findings import (
    LEVELS,
    CheckFinding,
    behaviour_findings,
    feeding_findings,
    idle_findings,
    weights_findings,
)
from seewhy.evidence.checks.idle import idle_layers
from seewhy.evidence.checks.label_findings import label_findings
from seewhy.evidence.checks.label_scores import truth_of
from seewhy.evidence.checks.leaks import Leaks, leak_findings, leaks_of
from seewhy.evidence.checks.map_findings import Reason, map_findings
from seewhy.evidence.checks.readings import Passes
from seewhy.evidence.checks.strange_labels import strange_labels
from seewhy.evidence.checks.trust import Trust, examine, n_steps
from seewhy.evidence.inference.units import units_of
from seewhy.records import Preprocess, Progress
from seewhy.run.first_pass import first_input
from seewhy.run.plan import Plan

N_MAPS = 64  # images whose maps are examined
_N_IDLE = 16  # images on which channels are looked at


class SampleNote(str):
    """The note of a plan that says how many of all images are taken."""


@dataclass(frozen=True)
class Judgement:
    """All that a check finds: `findings`, worst first, and what they were told from."""

    findings: tuple[CheckFinding, ...]
    grades: dict[str, str]
    behaviour: Behaviour
    feeding: Feeding | None
    graded: tuple[tuple[Trust, tuple[Reason, ...]], ...]
    facts: dict[str, Any]
    leaks: Leaks | None


def judged(plan: Plan, *, seed: int, progress: Progress) -> tuple[Judgement, Passes]:
    """The judgement of a plan's classifier, and the passes that its rows are written from."""
    preprocess = plan.classifier.preprocess
    few = _few(len(plan.table))
    passes = Passes(plan, variants_of(preprocess) if isinstance(preprocess, Preprocess) else {}, few)
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
    target = _target(plan)
    classes = None if target is None else torch.full((len(inputs),), target)
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
    judgement = _judgement(plan, passes, inputs, trusts, leaks_of(plan, list(passes.outcomes()), seed))
    passes.logits, passes.kept = {"": passes.logits[""]}, []  # all that its rows need
    return judgement, passes


def _few(n_images: int) -> list[int]:
    """The places of the images whose maps are examined: spread over all."""
    chosen = [round(step * (n_images - 1) / max(1, min(N_MAPS, n_images) - 1)) for step in range(N_MAPS)]
    return list(dict.fromkeys(chosen))[:n_images]


def _judgement(plan: Plan, passes: Passes, inputs: Tensor, trusts: Sequence[Trust], leaks: Leaks | None) -> Judgement:
    logits = torch.cat(passes.logits[""])
    finite = logits.isfinite().all(dim=1)
    behaviour = _behaviour(plan, passes, logits, finite)
    feeding, why_not = _feeding(plan, passes, behaviour.permutation or plan.classes)
    findings = _of_the_classifier(plan, behaviour)
    findings += leak_findings(leaks)
    findings += feeding_findings(feeding, why_not)
    if len(inputs) > 1:
        some = _on_device(plan, inputs[:_N_IDLE])
        findings += idle_findings(*idle_layers(plan.classifier.model, some, plan.classifier.batch), len(some))
    graded, grades = [], {}
    for trust in trusts:
        finding, grade, reasons = map_findings(trust)
        findings.append(finding)
        grades[trust.layer] = grade
        graded.append((trust, tuple(reasons)))
    findings += _not_finite(int((~finite).sum()), len(logits))
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    facts = _facts(plan, passes, feeding)
    return Judgement(
        findings=tuple(findings),
        grades=grades,
        behaviour=behaviour,
        feeding=feeding,
        graded=tuple(graded),
        facts=facts,
        leaks=leaks,
    )


def _behaviour(plan: Plan, passes: Passes, logits: Tensor, finite: Tensor) -> Behaviour:
    """How the classifier answers, on the images (N,) whose logits are `finite`."""
    labels = [label for label, fine in zip(passes.labels, finite.tolist(), strict=True) if fine]
    splits = [split for split, fine in zip(passes.splits, finite.tolist(), strict=True) if fine]
    known = logits[finite]
    clusters = [cluster for cluster, fine in zip(passes.clusters, finite.tolist(), strict=True) if fine]
    if plan.task == "multi-label":
        return behaviour_of_labels(known.numpy(), labels, plan.classes, splits, clusters)
    return behaviour_of(known.numpy(), probabilities(known).numpy(), labels, plan.classes, splits, clusters)


def _of_the_classifier(plan: Plan, behaviour: Behaviour) -> list[CheckFinding]:
    said_of = label_findings if plan.task == "multi-label" else behaviour_findings
    findings = said_of(behaviour) if behaviour.n_images else []
    if plan.task == "classification" and (strange := strange_labels(plan.table, plan.classes)):
        if strange[0].stops_audit:  # it says why nothing is known of the accuracy
            findings = [finding for finding in findings if finding.level != "cannot say" or not finding.stops_audit]
        findings += strange
    return findings + (weights_findings(findings) if RANDOM_NOTE in plan.classifier.notes else [])


def _not_finite(count: int, n_images: int) -> list[CheckFinding]:
    if not count:
        return []
    text = f"{count} of {n_images:,} images give NaN or infinite logits."
    return [CheckFinding("bad", "works", text, "Look at the weights and the input's range.", {"count": count})]


def _facts(plan: Plan, passes: Passes, feeding: Feeding | None) -> dict[str, Any]:
    preprocess = plan.classifier.preprocess
    return {
        "images": len(plan.table),
        "without_result": sum(passes.reasons.values()),
        "reasons": dict(passes.reasons.most_common(5)),
        "classes": list(plan.classes),
        "method": plan.methods[0],
        "layers": list(plan.grids),
        "score": plan.scores[0].name,
        "preprocess": preprocess.describe() if isinstance(preprocess, Preprocess) else "a function",
        "sampled": next((note for note in plan.notes if isinstance(note, SampleNote)), ""),
        "notes": list(plan.notes),
        "feeding": None if feeding is None else {"auc": feeding.auc, "n": feeding.n_images},
    }


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
    if not tried:
        return None, "it answers the same however it is fed"
    return judge(scores[""], truth, tried, units_of(passes.clusters, len(known))[known]), ""


def _distinct(tried: list[tuple[str, str, Floats]], current: Floats) -> list[tuple[str, str, Floats]]:
    """Without the variants that give every image the same input as now (a crop of a square image)."""
    return [variant for variant in tried if not np.array_equal(variant[2], current)]


def _target(plan: Plan) -> int | None:
    """The index of the class whose maps are asked for; None where it differs between the images."""
    name = plan.scores[0].name.removeprefix("margin:")
    return plan.classes.index(name) if name in plan.classes else None


def _on_device(plan: Plan, inputs: Tensor) -> Tensor:
    like = next((p for p in plan.classifier.model.parameters() if p.is_floating_point()), inputs)
    return inputs.to(like.device, like.dtype)
