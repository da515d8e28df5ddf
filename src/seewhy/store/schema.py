"""Every column and array of a run folder: name, type and meaning."""

from __future__ import annotations

import pyarrow as pa

RECORDS = {
    "id": (pa.string(), "path relative to the folder that was named, or a number in order"),
    "path": (pa.string(), "where the file lies; null for images that are not files"),
    "label": (pa.string(), "class name by folder or table; null where unknown"),
    "split": (pa.string(), "train, valid, …; null where unknown"),
    "width": (pa.int32(), "of the photograph, upright, in pixels"),
    "height": (pa.int32(), "of the photograph, upright, in pixels"),
    "digest": (pa.string(), "BLAKE2b-128 of the file's bytes, hexadecimal"),
    "prediction": (pa.string(), "class name with the largest logit"),
    "probability": (pa.float32(), "of the predicted class, softmax or sigmoid, 0 to 1"),
    "correct": (pa.bool_(), "prediction equals label; null without a label"),
    "logits": (pa.list_(pa.float32()), "the network's raw outputs, in the order of the classes"),
    "error": (pa.string(), "why there is no result; null where there is one"),
}
MAP_STATS = {
    "id": (pa.string(), "the image's id"),
    "method": (pa.string(), "CAM method"),
    "layer": (pa.string(), "dotted name of the layer"),
    "score": (pa.string(), "what is explained"),
    "score_value": (pa.float64(), "the explained number of this image"),
    "minimum": (pa.float64(), "smallest cell of the raw map"),
    "maximum": (pa.float64(), "largest cell of the raw map"),
    "total": (pa.float64(), "sum over the cells of the raw map"),
    "positive_total": (pa.float64(), "sum over the positive cells of the raw map"),
    "empty": (pa.bool_(), "drawn empty: all zero, no positive part, or a negligible peak"),
    "reason": (pa.string(), "why it is drawn empty; null where it is not"),
}
TRIALS = {
    "factor": (pa.string(), "what was edited; two joined by + were put in together"),
    "edit": (pa.string(), "donors: the donor's content; a family like blur: taken away; shrunk-4: region drawn back"),
    "split": (pa.string(), "train or valid"),
    "recipient": (pa.string(), "id of the image that was edited and scored again"),
    "donor": (pa.string(), "id of the image that gave the content; null where none did"),
    "margins_before": (pa.list_(pa.float32()), "logit minus the best other one, by contrast (findings.json), unedited"),
    "margins": (pa.list_(pa.float32()), "the same after the edit"),
    "probabilities_before": (pa.list_(pa.float32()), "by contrast, 0 to 1, unedited"),
    "probabilities": (pa.list_(pa.float32()), "the same after the edit"),
    "prediction_before": (pa.string(), "class name with the largest logit, unedited"),
    "prediction": (pa.string(), "the same after the edit"),
}
IMAGE_EFFECTS = {
    "id": (pa.string(), "the image's id"),
    "split": (pa.string(), "train or valid"),
    "factor": (pa.string(), "what was edited"),
    "necessity": (pa.float64(), "|label margin - median with donors' content|, as a recipient; null where it was none"),
    "sufficiency": (pa.float64(), "mean change of its class's probability where it is put, as a donor; null if none"),
}
DONOR_EFFECTS = {
    "factor": (pa.string(), "what was edited; two joined by + were put in together"),
    "split": (pa.string(), "train or valid"),
    "contrast": (pa.string(), "class whose probability moves; own class: that of each edited image"),
    "donor": (pa.string(), "id of the image that gave the content"),
    "label": (pa.string(), "the donor's class name"),
    "effect": (pa.float64(), "how far its content moves the probability, less the mean donor's; least squares"),
    "n": (pa.int32(), "trials in which it gave the content"),
}
MAP_SHARES = {
    "id": (pa.string(), "the image's id"),
    "split": (pa.string(), "train or valid"),
    "region": (pa.string(), "name of the region"),
    "area": (pa.float64(), "share of the canvas that the region covers, 0 to 1"),
    "share": (pa.float64(), "share of the map's positive part inside the region, 0 to 1; null for an empty map"),
    "lift": (pa.float64(), "share / area; null where either is nothing"),
}


def schema_of(columns: dict[str, tuple[pa.DataType, str]]) -> pa.Schema:
    """The Arrow schema of a table, each column's meaning in its metadata."""
    return pa.schema([pa.field(name, kind, metadata={"meaning": text}) for name, (kind, text) in columns.items()])
