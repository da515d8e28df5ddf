"""Every file, array and column of a run folder: name, type, unit and meaning; docs/run-folder.md is made from it."""

from __future__ import annotations

import pyarrow as pa

RECORDS = {
    "id": (pa.string(), "path relative to the folder that was named, or a number in order"),
    "path": (pa.string(), "where the file lies; null for images that are not files"),
    "label": (
        pa.string(),
        "class name by folder or table, of several labels joined by |, or no label; null where unknown",
    ),
    "split": (pa.string(), "train, valid, …; null where unknown"),
    "width": (pa.int32(), "of the photograph, upright, in pixels"),
    "height": (pa.int32(), "of the photograph, upright, in pixels"),
    "digest": (pa.string(), "BLAKE2b-128 of the file's bytes, hexadecimal"),
    "prediction": (pa.string(), "class name with the largest logit; multi-label: all labels at one half or more"),
    "probability": (pa.float32(), "of the predicted class, or the strongest label, softmax or sigmoid, 0 to 1"),
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
    "factor": (
        pa.string(),
        "what was edited: a factor, two that were put in together (joined by +), a control region, …",
    ),
    "edit": (pa.string(), "what was done: donors, the donor's content put in; blur, taken away; …: docs/run-folder.md"),
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
CLASS_EFFECTS = {
    "factor": (pa.string(), "what was exchanged"),
    "label": (pa.string(), "class whose probability moves; own class: that of each edited image"),
    "effect": (pa.float64(), "how far donors of the class raise its probability beyond donors of the others"),
    "low": (pa.float64(), "lower end of its 95 % interval; of what is shown after the choice of findings"),
    "high": (pa.float64(), "upper end of it"),
    "p": (pa.float64(), "two-sided, by Holm over all tests of the audit"),
    "said": (pa.string(), "shown; none: as much as the floor is excluded; cannot say"),
    "images": (pa.int32(), "edited images"),
    "donors": (pa.int32(), "distinct images that gave the content"),
}
CONFUSION_EFFECTS = {
    "label": (pa.string(), "the class of the edited images"),
    "prediction": (pa.string(), "the class that many of them are called"),
    "factor": (pa.string(), "what was exchanged"),
    "effect": (pa.float64(), "how far donors of the latter raise its probability beyond donors of the former"),
    "low": (pa.float64(), "lower end of its 95 % interval; of what is shown after the choice of what is told"),
    "high": (pa.float64(), "upper end of it"),
    "margin": (pa.float64(), "the same of the latter's logit less the former's"),
    "margin_low": (pa.float64(), "lower end of its 95 % interval"),
    "margin_high": (pa.float64(), "upper end of it"),
    "p": (pa.float64(), "two-sided, of the margin, by Holm over all confusions and factors"),
    "said": (pa.string(), "shown; the other way; none: as much as the floor is excluded; cannot say"),
    "images": (pa.int32(), "distinct edited images"),
    "donors": (pa.int32(), "distinct images of the two classes that gave the content"),
    "own_images": (pa.bool_(), "whether only images of the former class were edited; all where those are too few"),
}
MAP_SHARES = {
    "id": (pa.string(), "the image's id"),
    "split": (pa.string(), "train or valid"),
    "region": (pa.string(), "name of the region"),
    "area": (pa.float64(), "share of the canvas that the region covers, 0 to 1"),
    "share": (pa.float64(), "share of the map's positive part inside the region, 0 to 1; null for an empty map"),
    "lift": (pa.float64(), "share / area; null where either is nothing"),
}

LEAKS = {
    "id": (pa.string(), "the image of valid, or test"),
    "label": (pa.string(), "its class name; null where unknown"),
    "train_id": (pa.string(), "the image of train that it is"),
    "train_label": (pa.string(), "the class name of that; null where unknown"),
    "same": (pa.bool_(), "byte by byte; else nearly, by a perceptual hash"),
}
TREND_IMAGES = {
    "id": (pa.string(), "the image's id; images without a map to group are left out"),
    "split": (pa.string(), "train, valid, …; null where unknown"),
    "predicted": (pa.string(), "class name with the largest logit"),
    "x": (pa.float64(), "where its map lies on the plane of the maps: alike ones are near"),
    "y": (pa.float64(), "the same, the other way"),
}
TREND_GROUPS = {
    "proposer": (pa.string(), "what is grouped: where maps lie, what lies under them; or SpRAy, by whose way"),
    "predicted": (pa.string(), "class name with the largest logit"),
    "group": (pa.int32(), "its number among those of the class, the largest 1"),
    "id": (pa.string(), "the image's id"),
}
TREND_SHARES = {
    "zone": (pa.string(), "border, a corner, the centre, or a half"),
    "label": (pa.string(), "class name, predicted where unknown; all: of every class"),
    "split": (pa.string(), "train, valid, …; all: of every split"),
    "answer": (pa.string(), "right, wrong; all: of every answer"),
    "area": (pa.float64(), "share of the picture that the zone covers, 0 to 1"),
    "share": (pa.float64(), "mean share of the maps' positive parts inside the zone, 0 to 1"),
    "low": (pa.float64(), "lower end of its 95 % interval; null of one image"),
    "high": (pa.float64(), "upper end of it"),
    "images": (pa.int32(), "images whose maps are in the mean"),
}

TABLES = {
    "records.parquet": RECORDS,
    "map_stats.parquet": MAP_STATS,
    "trials.parquet": TRIALS,
    "image_effects.parquet": IMAGE_EFFECTS,
    "donor_effects.parquet": DONOR_EFFECTS,
    "class_effects.parquet": CLASS_EFFECTS,
    "confusion_effects.parquet": CONFUSION_EFFECTS,
    "map_shares.parquet": MAP_SHARES,
    "leaks.parquet": LEAKS,
    "trends/images.parquet": TREND_IMAGES,
    "trends/groups.parquet": TREND_GROUPS,
    "trends/shares.parquet": TREND_SHARES,
}
ROWS = {  # what a row of each table is
    "records.parquet": "one image, in the order of the maps; also the images that could not be read",
    "map_stats.parquet": "one image, method, layer and score",
    "trials.parquet": "one edited image that was scored again",
    "image_effects.parquet": "one image and one factor",
    "donor_effects.parquet": "one donor of one factor, for one class",
    "class_effects.parquet": "one factor and one class",
    "confusion_effects.parquet": "one factor, for one class that is called another",
    "map_shares.parquet": "one image and one region",
    "leaks.parquet": "one picture that the split a classifier is judged by shares with train",
    "trends/images.parquet": "one image with a map",
    "trends/groups.parquet": "one image in one group",
    "trends/shares.parquet": "one zone, for the images of one class, split and answer",
}
UNITS = {  # of every column of numbers, by its name
    "width": "pixels",
    "height": "pixels",
    "probability": "0 to 1",
    "logits": "logits",
    "score_value": "the score's own",
    "minimum": "the map's own",
    "maximum": "the map's own",
    "total": "the map's own",
    "positive_total": "the map's own",
    "margins_before": "logits",
    "margins": "logits",
    "probabilities_before": "0 to 1",
    "probabilities": "0 to 1",
    "necessity": "logits",
    "sufficiency": "change of a probability, -1 to 1",
    "effect": "change of a probability, -1 to 1",
    "n": "trials",
    "group": "number in order",
    "x": "0 to 1",
    "y": "0 to 1",
    "low": "as effect",
    "high": "as effect",
    "margin": "logits",
    "margin_low": "logits",
    "margin_high": "logits",
    "p": "0 to 1",
    "images": "images",
    "donors": "images",
    "area": "0 to 1",
    "share": "0 to 1",
    "lift": "ratio",
}
ARRAYS = {  # name: type, shape, unit, meaning
    "maps.zarr/METHOD/LAYER/SCORE": (
        "float32",
        "(N, H, W)",
        "the map's own: the score's, where its cells add up to it",
        "raw, signed maps, one a row of records.parquet, on the layer's grid or the canvas; NaN without a result",
    ),
    "controls.npz: area A nNN": (
        "float32",
        "(H, W)",
        "0 to 1",
        "a control region on the canvas: A is its share of it, NN its number; trials.parquet has # for n",
    ),
}
_ALL, _MAPPED, _AUDIT = ("explain", "check", "audit"), ("explain", "audit"), ("audit",)
_LATER: tuple[str, ...] = ()  # written into a finished run by another command
FILES = {  # name: the commands that write it, and what it holds
    "manifest.json": (_ALL, "what decides the result (identity), status, summary, and the command that makes it again"),
    "files.json": (_ALL, "the size and the BLAKE2b-128 of every file of the run; the manifest holds its own"),
    "records.parquet": (_ALL, "labels and predictions"),
    "report/": (_ALL, "the pages: open index.html"),
    "map_stats.parquet": (_MAPPED, "the numbers of every raw map"),
    "maps.zarr": (_MAPPED, "every raw map"),
    "overlays/METHOD/": (("explain",), "a picture for each image, below the image's own relative path"),
    "sheet.jpg": (("explain",), "a contact sheet of at most 100 images"),
    "mean_maps.png": (("explain",), "the mean map of each class and split, by layer"),
    "findings.json": (_AUDIT, "every finding with all its numbers, the thresholds, what was tested, and notes"),
    "trials.parquet": (_AUDIT, "every trial, raw"),
    "image_effects.parquet": (_AUDIT, "how much an image needs a factor, and how much its own is worth elsewhere"),
    "donor_effects.parquet": (_AUDIT, "how much a donor's content moves others"),
    "class_effects.parquet": (_AUDIT, "what each factor does to each class"),
    "confusion_effects.parquet": (_AUDIT, "what each factor does to the most frequent confusions; no rows without any"),
    "map_shares.parquet": (_AUDIT, "how much of a map lies in a region: a hypothesis, never a finding"),
    "leaks.parquet": (("check",), "pictures that valid shares with train; absent where there are none"),
    "places.json": (_AUDIT, "the places that a search found, and the images that proposed them; absent without one"),
    "controls.npz": (_AUDIT, "the control regions; absent where there are none"),
    "trends/trends.json": (_LATER, "`seewhy trends`: the groups in words and numbers, each with what tests it"),
    "trends/images.parquet": (_LATER, "`seewhy trends`: a plane of all maps"),
    "trends/groups.parquet": (_LATER, "`seewhy trends`: which images are in which group"),
    "trends/shares.parquet": (_LATER, "`seewhy trends`: how much of the maps lies in which zone"),
    "pictures/": (
        _AUDIT,
        "before and after, for a finding and against it, chosen by rule; absent where there are none",
    ),
}

FOUND = {  # the keys of findings.json
    "findings": "every finding, worst first: next table",
    "told": "what is printed, in order: findings, and those of them that are told together",
    "images, splits, distinct": "images of both splits; of each; clusters of each",
    "classes, audited_classes, contrasts": "all classes, those with audited images, those whose probability is watched",
    "accuracy": "of the audited images",
    "core, regions, tested": "what should decide; each region in words; all that was tested",
    "found_in": "by tested factor the finding that holds its numbers",
    "suspicion": "by factor how far its values alone tell the classes apart, 0 to 1: the order of work",
    "trials, jobs": "how many; what they were made in",
    "effort": "what the budget left: recipients, donors, recipients a donor meets (uses), controls of an area, pairs",
    "by_class, confusions, columns": "class_effects.parquet as rows; the confusions; the columns that were compared",
    "maps": "layer, method and score of the maps, and their mean shares and lifts by region",
    "cluster_by, unreadable, warnings, notes": "as asked; images with their reason; what regions lack; sentences",
    "scope": "the sentence that says what was tested, and that nothing is said of anything else",
    "thresholds": "every limit by its name",
}
FINDING = {  # of each finding
    "factor, level, claims": "as in its title",
    "text, evidence, todo": "its sentences; its safeguards in words; what to do",
    "numbers": "next table",
    "members, alternatives": "factors that it explains or cannot be told from; those that may be the cause instead",
    "examples, counter_examples": "trials chosen by rule, for it and against it",
}
NUMBERS = {  # of a finding; an estimate is value, low, high and n, often with error, df and p_value
    "words, kind": "what is edited; region, property, insert (a mark)",
    "contrast, split": "class whose probability is watched; of which images it is said",
    "probability, margin": "the effect on both: shares of probability, and logits",
    "selected_interval": "of the probability, widened for having been chosen among others",
    "p_holm": "two-sided, by Holm over all tests",
    "flips, flips_own": "shares of decisions that flip with another class's content, and with the own class's",
    "sensitivity": "spread of the margin between donors of one class: a standard deviation, in logits",
    "recipients, donors, trials, fewest, unit": "how many; units of the smallest class; image or cluster",
    "images_needed": "images of each class that would settle whether the effect reaches the floor (of more than 10 "
    "classes half of the images of all)",
    "core, turns_decisions": "whether it is core; whether it flips decisions and moves no probability by the floor",
    "gates": "the safeguards: name, passed (null: settles nothing), words",
    "control": "safeguard control: kind (regions, or scrambled donors), their effects, and the limit",
    "outside, core_property": "what is left outside of the core; by core property what is left with it put back",
    "rim, beside": "by pixels what is left with the core drawn larger; what all else as near to the core does",
    "own_fall": "safeguard price: share of the own class's margin that the own class's content takes",
    "families": "safeguard edits: by removal how far the right class's margin falls, in logits",
    "edge": "by pixels the effect with so many along the region's edge left as they were",
    "train, overfit": "the effect on train; how much more it helps on train, and what that is made of",
    "members, held": "numbers of its members; what is left of each with this factor put back",
    "what": "of a place that was found: the properties that were tested there, and how it looks",
    "answers, against": "of a mark: accuracies, and answers that change; what it is compared with",
    "benefit, p, places, boxes, beyond": "of everything outside the core, or its place: beyond guessing, and by what",
    "reason": "why nothing could be tested",
    "warnings": "what its region lacks",
}


def schema_of(columns: dict[str, tuple[pa.DataType, str]]) -> pa.Schema:
    """The Arrow schema of a table, each column's meaning in its metadata."""
    return pa.schema([pa.field(name, kind, metadata={"meaning": text}) for name, (kind, text) in columns.items()])
