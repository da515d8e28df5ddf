"""Which images of two runs are the same: by id and content, and what stands in one of them only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seewhy.errors import StoreError, counted, listed
from seewhy.records import Outcome


@dataclass(frozen=True)
class Matching:
    """The rows (first, second) of images that both runs answered, and how many others there are, by reason.

    `renamed` were found by their content under another id, `unproved` have no content to compare (images that are no
    files), `relabelled` have another label in the second run.
    """

    pairs: tuple[tuple[int, int], ...]
    only_first: int = 0
    only_second: int = 0
    other_content: int = 0
    renamed: int = 0
    unproved: int = 0
    relabelled: int = 0
    without_result: int = 0

    @property
    def notes(self) -> list[str]:
        """What is to be said of images that are not compared, or not for certain the same."""
        said = {
            "in the first run only": self.only_first,
            "in the second run only": self.only_second,
            "of the same name with other content, not compared": self.other_content,
            "without a result in one of the runs, not compared": self.without_result,
            "under another name in the second run, known by their content": self.renamed,
            "matched by their number alone, since they are no files": self.unproved,
            "with another label in the second run, left out of accuracies": self.relabelled,
        }
        return [f"{counted(count, 'image')} {words}." for words, count in said.items() if count]


def match(first: Sequence[Outcome], second: Sequence[Outcome]) -> Matching:
    """The images of both runs: those of one id whose content is the same or unknown, then those of one content.

    Raises StoreError where no image stands in both.
    """
    by_id = {outcome.image.id: row for row, outcome in enumerate(second)}
    pairs, other_content = [], 0
    for row, outcome in enumerate(first):
        there = by_id.get(outcome.image.id)
        if there is not None and _same(outcome.digest, second[there].digest):
            pairs.append((row, there))
        elif there is not None:
            other_content += 1
    taken = {row for row, _ in pairs}, {row for _, row in pairs}
    renamed = _by_content(first, second, *taken)
    pairs = sorted([*pairs, *renamed])
    answered = tuple(pair for pair in pairs if not (first[pair[0]].error or second[pair[1]].error))
    if not answered:
        raise _nothing_in_common(first, second, other_content, len(pairs))
    clashing = other_content - sum(first[row].image.id in by_id for row, _ in renamed)
    return Matching(
        pairs=answered,
        only_first=len(first) - len(pairs) - clashing,
        only_second=len(second) - len(pairs) - clashing,
        other_content=clashing,
        renamed=len(renamed),
        unproved=sum(first[row].digest is None or second[there].digest is None for row, there in answered),
        relabelled=sum(first[row].image.label != second[there].image.label for row, there in answered),
        without_result=len(pairs) - len(answered),
    )


def _nothing_in_common(
    first: Sequence[Outcome], second: Sequence[Outcome], other_content: int, unanswered: int
) -> StoreError:
    """What to say of runs without an image that both answered."""
    names = [listed([one.image.id for one in outcomes], 2) for outcomes in (first, second)]
    if other_content:
        why = f"{counted(other_content, 'image')} of the same name ({names[0]}) have other content in the second run."
    elif unanswered:
        why = f"of {counted(unanswered, 'image')} in both, none has a result in both."
    else:
        why = f"{names[0]} there, {names[1]} here."
    return StoreError(
        f"The two runs have no image in common: {why}\n  Make both runs of the same images.", slug="nothing-in-common"
    )


def _same(digest: str | None, other: str | None) -> bool:
    return digest is None or other is None or digest == other


def _by_content(
    first: Sequence[Outcome], second: Sequence[Outcome], taken_first: set[int], taken_second: set[int]
) -> list[tuple[int, int]]:
    """The pairs of rows left over whose content stands once in each run, whatever they are called."""
    left, right = (
        {outcome.digest: row for row, outcome in enumerate(outcomes) if row not in taken and outcome.digest}
        for outcomes, taken in ((first, taken_first), (second, taken_second))
    )
    once = [
        {digest for digest, count in Counter(outcome.digest for outcome in outcomes).items() if count == 1}
        for outcomes in (first, second)
    ]
    return [(row, right[digest]) for digest, row in left.items() if digest in right and digest in once[0] & once[1]]
