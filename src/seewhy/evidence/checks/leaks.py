"""Leaks between the splits: pictures of valid that train holds, too, and what they do to the accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seewhy.data.pictures.copies import Copies, Copy, find_copies
from seewhy.data.tables.folder_names import role_of
from seewhy.errors import counted, listed
from seewhy.estimates import Estimate
from seewhy.evidence.checks.findings import CheckFinding
from seewhy.evidence.inference.units import share_of, units_of
from seewhy.records import Image, Outcome, Preprocess
from seewhy.run.plan import Plan

SHOWN = 3  # pairs in the sentence
_ALIKE = 0.1  # of the pictures nearly are another of their own split: then they are alike by nature


@dataclass(frozen=True)
class Accuracies:
    """The accuracy on the judged images, on those of them that did not leak, and on those that did."""

    whole: Estimate
    without: Estimate
    leaked: Estimate


@dataclass(frozen=True)
class Leaks:
    """What one split, `split`, shares with train: copies of pictures, and named clusters; None where nobody named any.

    `n_listed` images of train are listed under the split, too, and judged under neither. `accuracies` are those with
    and without images that leaked, by "pictures" and by "clusters".
    """

    split: str
    copies: Copies
    clusters: tuple[str, ...] | None
    n_clusters: int
    n_in_clusters: int
    n_listed: int = 0
    accuracies: Mapping[str, Accuracies] = field(default_factory=dict)

    @property
    def relabelled(self) -> list[Copy]:
        """The copies whose label is another one there."""
        return [
            copy for copy in self.copies.copies if copy.image.label and copy.other.label not in (None, copy.image.label)
        ]


def leaks_of(plan: Plan, outcomes: Sequence[Outcome], seed: int) -> Leaks | None:
    """The leaks between train and the split that accuracy is judged on; None without both, or without files.

    `outcomes` are the rows of the check's images; of train all images count, also those that a sample left out.
    """
    images, also_in = plan.beside or plan.table.images, plan.table.also_in
    others = {place: set(map(role_of, splits)) for place, splits in also_in.items()}
    there = {role_of(image.split) for image in images}
    splits = there.union(*others.values())
    judged = next((split for split in ("valid", "test") if split in there), None)
    if "train" not in splits or plan.table.items is not None:
        return None
    train = [image for image in images if role_of(image.split) == "train" and not image.error]
    rows = [row for row in outcomes if role_of(row.image.split) == judged and row.error is None]
    judged = judged or next((split for split in ("valid", "test") if split in splits), None)
    n_listed = sum(judged in others.get(image.path or image.id, ()) for image in train)
    if judged is None or not (rows or n_listed) or not (train or others):
        return None
    how = plan.classifier.preprocess if isinstance(plan.classifier.preprocess, Preprocess) else None
    digests = {row.image.id: row.digest for row in outcomes}
    mine_images = [row.image for row in rows]
    copies = (
        find_copies(mine_images, train, how, digests, seed)
        if train and rows
        else Copies((), len(rows), len(train), len(rows), len(train), 0, is_whole=True)
    )
    copies = with_both(copies, mine_images, others, len(train))
    of_train = {image.cluster for image in train} - {None}
    mine = {row.image.cluster for row in rows} - {None}
    both = {name for name in mine & of_train if name}
    leaked = {
        "pictures": {copy.image.id for copy in copies.copies},
        "clusters": {row.image.id for row in rows if row.image.cluster in both},
    }
    return Leaks(
        split=judged,
        copies=copies,
        clusters=tuple(sorted(both)) if plan.table.cluster_by else None,
        n_clusters=len(mine),
        n_in_clusters=len(leaked["clusters"]),
        n_listed=n_listed,
        accuracies={what: found for what, ids in leaked.items() if (found := _accuracies(rows, ids)) is not None},
    )


def with_both(copies: Copies, images: Sequence[Image], others: Mapping[str, set[str]], n_train: int) -> Copies:
    """The copies with images that a table lists under train, too: each is the same file."""
    both = [image for image in images if "train" in others.get(image.path or image.id, ())]
    ids = {image.id for image in both}
    kept = [copy for copy in copies.copies if copy.image.id not in ids]
    same = [Copy(image, replace(image, split="train"), is_same=True) for image in both]
    return replace(copies, copies=(*same, *kept), n_others=n_train + len(both)) if both else copies


def leak_findings(leaks: Leaks | None) -> list[CheckFinding]:
    """The sentences on leaks: pictures, clusters, and labels that differ."""
    return [] if leaks is None else [_pictures(leaks), *_clusters(leaks), *_labels(leaks)]


def leak_rows(leaks: Leaks) -> list[dict[str, Any]]:
    """A row of leaks.parquet for every picture that leaked."""
    return [
        {
            "id": copy.image.id,
            "label": copy.image.label,
            "train_id": copy.other.id,
            "train_label": copy.other.label,
            "same": copy.is_same,
        }
        for copy in leaks.copies.copies
    ]


def leaks_summary(leaks: Leaks) -> dict[str, Any]:
    """The counts and accuracies as plain values."""
    copies = leaks.copies
    counts = {name: value for name, value in vars(copies).items() if name != "copies"}
    return {
        "split": leaks.split,
        **counts,
        "n_same": sum(copy.is_same for copy in copies.copies),
        "n_near": sum(not copy.is_same for copy in copies.copies),
        "n_relabelled": len(leaks.relabelled),
        "clusters": None if leaks.clusters is None else list(leaks.clusters),
        "n_clusters": leaks.n_clusters,
        "n_in_clusters": leaks.n_in_clusters,
        "n_listed": leaks.n_listed,
        "accuracy": {
            what: {name: vars(value) for name, value in vars(found).items()} for what, found in leaks.accuracies.items()
        },
    }


def _accuracies(rows: Sequence[Outcome], ids: set[str]) -> Accuracies | None:
    """The accuracies of the rows that have a label, in which those of `ids` are some, but not all."""
    known = [row for row in rows if row.correct is not None]
    hits = np.array([bool(row.correct) for row in known], dtype=bool)
    leaked = np.array([row.image.id in ids for row in known], dtype=bool)
    if not leaked.any() or leaked.all():
        return None
    units = units_of([row.image.cluster for row in known], len(known))
    parts = (np.ones(len(known), dtype=bool), ~leaked, leaked)
    return Accuracies(*(share_of(hits[part], units[part]) for part in parts))


def _pictures(leaks: Leaks) -> CheckFinding:
    copies, split = leaks.copies, leaks.split
    same = sum(copy.is_same for copy in copies.copies)
    near = len(copies.copies) - same
    numbers = leaks_summary(leaks)
    among = f"{counted(copies.n_images, 'image')} of {split}"
    compared = _compared(copies)
    if not copies.copies:
        text = f"None of {among} is the same as one of {copies.n_others:,} of train, nor nearly so{compared}."
        if leaks.n_listed:
            more = (
                f"{counted(leaks.n_listed, 'image')} of train are listed under {split}, too, and left out of it here:"
            )
            text = f"{more} what it was learned from says nothing of others. {text}"
            return CheckFinding("caution", "leaks", text, f"Take them out of {split}, or of train.", numbers)
        return CheckFinding("good", "leaks", text, "", numbers)
    what = [f"{same:,} are byte by byte"] if same else []
    what += [f"{near:,} {'nearly are' if same else 'are nearly'}"] if near else []
    pairs = [f"{copy.image.id} is {copy.other.id}" for copy in copies.copies]
    more = "; all in leaks.parquet" if len(pairs) > SHOWN else ""
    text = (
        f"Of {among} {' and '.join(what)} one of {copies.n_others:,} of train{compared} "
        f"({'; '.join(pairs[:SHOWN])}{more}). {_what_it_does(leaks, 'pictures')}"
    )
    if near and copies.n_twins > _ALIKE * copies.n_images_seen:
        text += (
            f" But {copies.n_twins:,} of {copies.n_images_seen:,} nearly are another of {split} itself: pictures are "
            "alike here, like those of one video, and nearly the same need not be the same."
        )
    if leaks.n_listed:
        text += f" {counted(leaks.n_listed, 'image')} more are listed under both splits, and judged under neither."
    todo = f"Take them out of {split} (or of train, and train anew), then check again."
    return CheckFinding("caution", "leaks", text, todo, numbers)


def _compared(copies: Copies) -> str:
    """How many were compared, where not all were."""
    seen, there = copies.n_images_seen, copies.n_others_seen
    left = []
    if seen < copies.n_images or there < copies.n_others:
        left.append(f"by their looks a sample was compared, {seen:,} with {there:,}")
    if not copies.is_whole:
        left.append("byte by byte only some of the files of one size")
    return f" ({'; '.join(left)})" if left else ""


def _what_it_does(leaks: Leaks, what: str) -> str:
    found = leaks.accuracies.get(what)
    if found is None:
        return "What that does to the accuracy cannot be said: none, or all, of the labelled images are such."
    return (
        f"Accuracy {found.whole} of {found.whole.n:,}, without them {found.without} of {found.without.n:,}, on them "
        f"{found.leaked} of {found.leaked.n:,}."
    )


def _clusters(leaks: Leaks) -> list[CheckFinding]:
    if leaks.clusters is None:
        return []
    if not leaks.clusters:
        text = f"None of {counted(leaks.n_clusters, 'cluster')} of {leaks.split} stands in train."
        return [CheckFinding("good", "leaks", text, "", {"clusters": []})]
    text = (
        f"{len(leaks.clusters):,} of {counted(leaks.n_clusters, 'cluster')} of {leaks.split} stand in train, too "
        f"({listed(leaks.clusters, SHOWN)}): {leaks.n_in_clusters:,} of {counted(leaks.copies.n_images, 'image')}. "
        f"{_what_it_does(leaks, 'clusters')}"
    )
    todo = "Split by cluster: all images of one on the same side."
    return [CheckFinding("caution", "leaks", text, todo, {"clusters": list(leaks.clusters)})]


def _labels(leaks: Leaks) -> list[CheckFinding]:
    """That the same pictures have other labels in train."""
    if not leaks.relabelled:
        return []
    pairs = [
        f"{copy.image.id} is {copy.image.label}, {copy.other.id} is {copy.other.label}" for copy in leaks.relabelled
    ]
    same = sum(copy.is_same for copy in leaks.relabelled)
    text = (
        f"{len(pairs):,} pictures of {leaks.split} ({same:,} of them byte by byte) have another label in train: "
        f"{'; '.join(pairs[:SHOWN])}{', …' if len(pairs) > SHOWN else ''}."
    )
    todo = "One of both labels is wrong, or the picture does not tell; look at them."
    return [CheckFinding("caution", "leaks", text, todo, {"relabelled": len(pairs)})]
