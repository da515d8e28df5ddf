"""What the numbers of the output are called, and which images the targets can be had of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seewhy.cam.scores.targets import Score, one_logit_note
from seewhy.data.networks.classifier import Classifier, with_classes
from seewhy.data.sources.table_labels import with_labels
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, counted, listed
from seewhy.records import Task
from seewhy.run.probe import ONE_LABEL_NOTE, Probe

SEVERAL_NOTE = (
    "Predicted are all labels with a probability of one half or more, right where they are the image's very set; the "
    "target 'predicted' explains the most probable."
)


def as_multi_label(probe: Probe, classifier: Classifier, table: ImageTable, *, asked: bool) -> Probe:
    """What was probed, as multi-label where nobody said what the output means and the labels are sets of classes.

    Also where one label is `asked` for, and each has a probability of its own.
    """
    n_outputs = probe.logits.shape[1]
    if classifier.task or probe.task != "classification":
        return probe
    several = table.is_multi_label(classifier.classes, n_outputs)
    several |= asked and probe.form.squash == "sigmoid" and n_outputs > 1
    if not several:
        return probe
    return replace(probe, task="multi-label", notes=tuple(note for note in probe.notes if note != ONE_LABEL_NOTE))


def named_classes(classifier: Classifier, table: ImageTable, probe: Probe) -> tuple[Classifier, ImageTable, list[str]]:
    """Class names for every logit: the user's, else the folders' if their count fits, else numbers; and what to say."""
    n_logits, one_logit = probe.logits.shape[1], probe.task == "classification" and probe.logits.shape[1] == 1
    unnamed = probe.task in ("embedding", "detection")  # whose numbers are not those of classes
    count = 2 if one_logit else 0 if unnamed else n_logits
    notes = [] if probe.task == "classification" else [f"The network's output is read as: {probe.task} (--task)."]
    if classifier.classes is not None:
        names = classifier.classes
        if len(names) != count and not unnamed:
            why = " (a one-logit network has two classes)" if one_logit else ""
            raise DataError(
                f"{counted(len(names), 'class name')} for {counted(n_logits, 'logit')}{why}: {listed(names)}.  Give "
                "one name for each logit, in their order.",
                slug="class-count",
            )
    elif probe.task in ("classification", "multi-label") and (fitting := table.class_names(count)):
        names = fitting
        notes.append(f"Classes from the data: {listed([f'{index} = {name}' for index, name in enumerate(names)])}.")
    else:
        names = tuple(str(index) for index in range(count))
        if table.classes and probe.task == "classification":
            notes.append(
                f"The data names {len(table.classes)} classes and the network has {n_logits} logits, so classes are "
                "numbers.  Name them with --classes."
            )
    if one_logit:
        notes.append(one_logit_note(names))
    if probe.task == "multi-label":
        notes.append(SEVERAL_NOTE)
    return with_classes(classifier, names), with_labels(table, names, probe.task), notes


def check_scores(scores: Sequence[Score], table: ImageTable, probe: Probe) -> None:
    """Raise the error of a target that cannot be had of this output, or of images without any label."""
    if any(score.needs_labels for score in scores) and not (table.labels or table.labels_come or table.strange):
        raise DataError(
            "The target is 'label', but no image has one.\n"
            "  Use class folders, a CSV, or a tensor with its labels (images, labels); or:  --target predicted",
            slug="no-labels",
        )
    for score in scores:
        if not score.needs_labels and score.count is None:
            score.fix(probe.output)(probe.output)


def without_one_label(scores: Sequence[Score], table: ImageTable, classes: Sequence[str], task: Task) -> list[str]:
    """That images with several labels, or with none, have no map for the target "label".

    Raises DataError where there are labels, and none is a class of the network.
    """
    if not any(score.needs_labels for score in scores) or (not table.labels and table.labels_come):
        return []
    if not table.labels:
        raise DataError(
            "The target is 'label', but no label is a class of this network.\n"
            f"  Labels: {listed(table.strange, 6)}.  Classes: {listed(classes, 6) or 'it has none'}.\n"
            "  Call the classes as the labels do, in the network's order:  --classes NAMES   or:  --target predicted",
            slug="no-labels",
        )
    count = sum(image.label not in classes for image in table.images)
    if task != "multi-label" or not count:
        return []
    example = f"  Name a label:  --target {classes[0]}" if classes else ""
    return [f"The target 'label' is of images with a single one: {count:,} have none or several, and no map.{example}"]
