"""What a mark does to the answers: accuracy without it, with its neutral patch, with it; classes that gain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.inference.units import share_change, share_of
from seewhy.evidence.trials.trial import UNDECIDED, Trials

_SHOWN, _TOLD = 3, 2  # classes; images that one gains, from which on it is told


@dataclass(frozen=True)
class MarkAnswers:
    """The accuracy of the images as they are, with the neutral patch, and with the mark over them.

    `change` is the mark's accuracy minus the patch's on the same images. Where images belong to clusters, the intervals
    know of them; `n` counts images. `gains` are the classes that answers turn to:
    how many images get the class with the mark that did not have it before, and how many with the patch.
    """

    before: Estimate
    patch: Estimate
    mark: Estimate
    change: Estimate
    gains: Mapping[str, tuple[int, int]]

    def words(self, against: str) -> str:
        """In one or two sentences."""
        text = (
            f"The accuracy is {self.before} as the images are, {self.patch} with {against}, {self.mark} with the mark: "
            f"{signed_points(self.change.value)} {interval(self.change)} beside it (n = {self.mark.n:,})."
        )
        shown = [
            f"{name} ({counted(with_mark, 'image')}, {with_patch} with {against})"
            for name, (with_mark, with_patch) in self.gains.items()
            if with_mark - with_patch >= _TOLD
        ]
        return f"{text} Answers that change turn to {listed(shown, _SHOWN)}." if shown else text

    def stored(self) -> dict[str, Any]:
        """As plain values."""
        shares = {name: vars(getattr(self, name)) for name in ("before", "patch", "mark", "change")}
        return {**shares, "gains": {name: list(counts) for name, counts in self.gains.items()}}


def mark_answers(marked: Trials, patched: Trials, classes: Sequence[str]) -> MarkAnswers:
    """What a mark does to the answers, from its trials and from those of its patch, on the same images."""
    labels, clusters = marked.recipient_labels, marked.clusters[marked.recipients]
    right = [scores.predictions == labels for scores in (marked.before, patched.after, marked.after)]
    before, patch, mark = (share_of(hits, clusters) for hits in right)
    with_mark, with_patch = (_turned(trials, classes) for trials in (marked, patched))
    order = sorted(with_mark, key=lambda name: (with_patch[name] - with_mark[name], -with_mark[name]))
    return MarkAnswers(
        before=before,
        patch=patch,
        mark=mark,
        change=share_change(right[1], right[2], clusters),
        gains={name: (with_mark[name], with_patch[name]) for name in order if with_mark[name] > with_patch[name]},
    )


def _turned(trials: Trials, classes: Sequence[str]) -> Counter[str]:
    """How many images get each class that was not their answer before."""
    after = trials.after.predictions
    changed = (after != trials.before.predictions) & (after != UNDECIDED)
    return Counter(classes[index] for index in after[changed])
