"""Which labelled images train, which validate, and what the classes are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seewhy.cam.scores.targets import one_logit_note
from seewhy.data.networks.classifier import Classifier
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import by_class_names, with_labels
from seewhy.data.tables.folder_names import role_of
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, ModelError, OptionError, counted, listed
from seewhy.records import Image
from seewhy.run.first_pass import as_read, first_input
from seewhy.run.probe import Probe

HELD_OUT_FRAC = 0.2


@dataclass(frozen=True)
class Splits:
    """The images of "train" and of "valid", each labelled with one of `classes`; `notes` say what was decided.

    The network of `classifier` returns its logits.
    """

    classifier: Classifier
    table: ImageTable
    classes: tuple[str, ...]
    images: dict[str, list[Image]]
    notes: tuple[str, ...]


def choose_splits(classifier: Classifier, table: ImageTable, asked: Sequence[str] | None, seed: int) -> Splits:
    """The labelled images of train and of valid (else test); of a single split a seeded fifth is held out.

    `asked` are the class names that the user gave. Raises the SeewhyError that says what does not fit.
    """
    table = by_class_names(table, asked or classifier.classes)
    classifier, probe = _read(classifier, table)
    n_logits = probe.logits.shape[1]
    names = _class_names(table, asked, n_logits)
    table = with_labels(table, names)
    groups = _by_role(table, names)
    notes = [*table.notes, *probe.notes, *([one_logit_note(names)] if n_logits == 1 else [])]
    if classifier.classes not in (None, names):
        notes.append(f"The network's own class names give way to the data's:  --classes {','.join(names)}")
    if left := len(table) - sum(map(len, groups.values())):
        notes.append(f"Left out, without a label: {counted(left, 'image')}.")
    train = groups.pop("train")
    if "valid" in groups:
        valid = groups.pop("valid")
    elif "test" in groups:
        valid = groups.pop("test")
        notes.append("There is no split valid: test takes its place.")
    else:
        train, valid = _held_out(table, train, seed)
        notes.append(f"There is no valid split: {len(valid)} images, a fifth of each class, were held out.")
    notes += [
        f"Not used: {counted(len(rest), 'image')} of the split {name!r}." for name, rest in sorted(groups.items())
    ]
    present = {image.label for image in train}
    if absent := [name for name in names if name not in present]:
        raise DataError(f"There is no image to train on of class {listed(absent)}.", slug="one-class")
    return Splits(classifier, table, names, {"train": train, "valid": valid}, tuple(notes))


def _read(classifier: Classifier, table: ImageTable) -> tuple[Classifier, Probe]:
    """The classifier whose network returns logits, and what a pass over the first readable image shows."""
    if not any(parameter.requires_grad for parameter in classifier.model.parameters()):
        raise ModelError(f"{type(classifier.model).__name__} has no parameter to train: all are frozen, or none exist.")
    return as_read(replace(classifier, task="classification"), first_input(classifier, table), table)


def _class_names(table: ImageTable, asked: Sequence[str] | None, n_logits: int) -> tuple[str, ...]:
    """The class names in the order of the logits, which is the data's own; `asked` may only name or select."""
    labels = set(table.labels)
    if not labels:
        raise DataError(
            f"No image of {table.source} has a label.\n  Training needs class folders like train/cat and train/dog, a "
            "CSV with a column 'label', or a Dataset with `targets`.",
            slug="no-labels",
        )
    names = table.class_names(n_logits) or table.classes or tuple(sorted(labels))
    if not table.classes and all(map(str.isdecimal, labels)):
        names = _numbered(labels, n_logits, table.first_label)
    if asked is not None:
        shared = [name for name in asked if name in names]
        if shared != sorted(shared, key=names.index):
            raise OptionError(
                f"--classes says {', '.join(asked)}, but the data's order is {', '.join(names)}, which explain and "
                "check go by.\n  Leave --classes out, or name them in that order.",
                slug="class-order",
            )
        names = tuple(asked)
    if len(names) != max(n_logits, 2):
        hint = " (a one-logit network has two classes)" if n_logits == 1 else ""
        raise DataError(
            f"There are {len(names)} classes ({listed(names)}), but the network has {n_logits} logits{hint}.\n"
            f"  Make a network of {len(names)}, if it takes an argument for it:  --model-arg num_classes={len(names)}",
            slug="class-count",
        )
    return names


def _numbered(labels: set[str], n_logits: int, first: int | None) -> tuple[str, ...]:
    """The classes of labels that are numbers; where these may count from 1 as many as there are logits: it is asked."""
    numbers = {int(label) for label in labels}
    is_asked = first is None and 0 not in numbers and max(numbers) == max(n_logits, 2)
    return tuple(map(str, range(max(numbers) + (0 if first or is_asked else 1))))


def _by_role(table: ImageTable, names: Sequence[str]) -> dict[str, list[Image]]:
    """The labelled images by what their split is for; a single split is for training, whatever its name."""
    groups: defaultdict[str, list[Image]] = defaultdict(list)
    for image in table.images:
        if image.label is not None:
            groups[role_of(image.split)].append(image)
    if not groups:
        raise DataError(f"No image has a label that is one of: {listed(names)}.", slug="no-labels")
    if len(groups) > 1 and "train" not in groups:
        raise DataError(f"The data has the splits {listed(sorted(groups))}, but none is called train.", slug="no-split")
    return groups if "train" in groups else {"train": groups.popitem()[1]}


def _held_out(table: ImageTable, images: list[Image], seed: int) -> tuple[list[Image], list[Image]]:
    count = max(1, round(HELD_OUT_FRAC * len(images)))
    sampled = read_table(replace(table, images=tuple(images)), sample=count, seed=seed)  # classes keep their shares
    ids = {image.id for image in sampled.images}
    return [image for image in images if image.id not in ids], list(sampled.images)
