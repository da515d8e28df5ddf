"""A network of several labels as one that decides for or against a single one of them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from seewhy.cam.scores.form import formed
from seewhy.data.networks.classifier import Classifier, with_classes
from seewhy.data.sources.table_labels import with_one_label
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.labels import OneLabel
from seewhy.errors import OptionError, listed, nearest
from seewhy.records import OutputAsked, one_form
from seewhy.run.probe import Probe, probe_network


def of_one_label(
    asked: str | int, classifier: Classifier, table: ImageTable, network: nn.Module, inputs: Tensor, probe: Probe
) -> tuple[Classifier, ImageTable, Probe]:
    """The classifier, the table and the probe of one label against its absence.

    The network has one logit then, minus the label's, so that its two classes are the label and "not" the label: its
    probability stays the label's sigmoid, and its decision the one at one half. `network` is the one as it was given,
    of whose output `probe` tells how it is read; it is not touched. Raises OptionError where there is no such label.
    """
    label = _label(asked, classifier.classes or (), probe)
    form = replace(probe.form, column=label.of.index(label.name))
    read = replace(classifier, model=formed(network, form), task="classification", asked=OutputAsked(form="logits"))
    again = probe_network(read.model, inputs, read.task, read.asked)
    name, absent = label.classes
    said = (
        f"Of {len(label.of)} labels {name!r} is asked about, against its absence: predicted where its probability is "
        f"one half or more.  Its logit is turned: below 0 means {name!r}, above 0 {absent!r}."
    )
    probe = replace(again, form=form, notes=(*probe.notes, said))
    return with_classes(read, label.classes), with_one_label(table, label), probe


def _label(asked: str | int, classes: tuple[str, ...], probe: Probe) -> OneLabel:
    if probe.task != "multi-label":
        raise OptionError(
            f"--label {asked} asks about one of several labels, but this network's output is read as: {probe.task}.\n"
            "  Leave --label out; or where each of its classes has a probability of its own (sigmoid):  "
            '--task multi-label  (seewhy.load(..., task="multi-label") in Python)',
            slug="audit-task",
        )
    name = one_form(str(asked))
    if name not in classes and name.isdecimal() and int(name) < len(classes):
        name = classes[int(name)]
    if name not in classes:
        near = nearest(name, classes)
        raise OptionError(
            f"There is no label {asked!r}.  {near}".rstrip()
            + f"\n  The labels are: {listed(classes, 40)} (or 0 to {len(classes) - 1}).",
            slug="no-such-class",
        )
    return OneLabel(name, classes)
