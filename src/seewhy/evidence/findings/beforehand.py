"""What is said of the classifier before any trial: one whose classes are in another order is not audited at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seewhy.errors import OptionError
from seewhy.evidence.checks.behaviour import Behaviour, behaviour_of_labels
from seewhy.evidence.checks.findings import CheckFinding, behaviour_findings
from seewhy.evidence.checks.label_findings import label_findings
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.scorer import Scorer


def tell_beforehand(design: AuditDesign, behaviour: Behaviour, warn: Callable[[str], None]) -> None:
    """Warn of a classifier of which an audit says little, since it guesses or gives one answer.

    Raises OptionError with the line to type where the classes are clearly in another order, unless asked to go on.
    """
    if not design.request.as_given:
        _refuse_other_order(design, behaviour)
    behaviour = as_told(design, behaviour)
    for finding in behaviour_findings(behaviour) if behaviour.n_images else []:
        if finding.stops_audit and finding.level == "bad":
            warn(
                f"{finding.text}\n  What an audit says of it is little, and its {design.schedule.n_trials:,} trials "
                "may take long.  First:  seewhy check (with the same arguments)"
            )


def as_told(design: AuditDesign, behaviour: Behaviour) -> Behaviour:
    """The behaviour as findings tell it: a label and its absence are no classes whose order could be given."""
    return replace(behaviour, permutation=None, permuted_accuracy=None) if design.plan.label else behaviour


def _refuse_other_order(design: AuditDesign, behaviour: Behaviour) -> None:
    said, todo = _of_one_label(design, behaviour) if design.plan.label else _of_classes(behaviour)
    if said:
        raise OptionError(
            f"{said}\n  The findings would be about the wrong classes, so no trial was made.\n"
            f"  If that is so:  {todo}\n"
            "  To audit it as it is given all the same:  --as-given",
            slug="other-order",
        )


def _of_classes(behaviour: Behaviour) -> tuple[str, str]:
    return _said_of_order(behaviour_findings(behaviour)) if behaviour.is_order_clear else ("", "")


def _of_one_label(design: AuditDesign, behaviour: Behaviour) -> tuple[str, str]:
    """What is said where the audited label has another output, or the opposite sign."""
    several = _all_labels(design)
    if several is not None and several.is_order_clear and several.permutation is not None:
        moved = dict(zip(several.classes, several.permutation, strict=True))
        if moved[design.plan.label] != design.plan.label:
            return _said_of_order(label_findings(several))
    if not behaviour.is_order_clear or behaviour.accuracy is None:
        return "", ""
    said = (
        f"Images with {design.plan.label!r} get less of it than images without: accuracy {behaviour.permuted_accuracy} "
        f"with the label turned round, {behaviour.accuracy} as given (n = {behaviour.accuracy.n:,})."
    )
    return said, "look at what the label's 0 and 1 mean, and at the order of the labels (--classes)"


def _said_of_order(findings: Sequence[CheckFinding]) -> tuple[str, str]:
    """What check says of another order, and the line to type."""
    return next(((finding.text, finding.todo) for finding in findings if "permutation" in finding.numbers), ("", ""))


def _all_labels(design: AuditDesign) -> Behaviour | None:
    """How the network gives all of its labels on the audited images; None where it does not give several."""
    if design.all_labels is None:
        return None
    plan, sample = design.all_labels(), design.audited
    if plan.task != "multi-label":
        return None
    labels = {image.id: image.label for image in plan.table.images}
    scorer = Scorer(plan.classifier.model, sample, design.plan.batch_size, plan.memory_format)
    logits = scorer.logits().double().cpu().numpy()
    rows = np.flatnonzero(np.isfinite(logits).all(axis=1))
    images = [sample.images[row] for row in rows]
    clusters = [image.cluster for image in images]
    return behaviour_of_labels(
        logits[rows], [labels.get(image.id) for image in images], plan.classes, clusters=clusters
    )
