"""Who meets whom: recipients and donors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seewhy.evidence.thresholds import FEW_IMAGES
from seewhy.evidence.trials.contrast import MOST_CLASSES
from seewhy.evidence.trials.sample import Ints, Sample, _in_turn, one_of_each

NO_PARTNER = -1
EACH_USED = 4  # times that a donor is used: with one or two its own effect drowns in its recipients'


def uses_of(groups: int, asked: int) -> int:
    """How many donors of each group a recipient meets."""
    return min(asked, {1: 4, 2: 4, 3: 3}.get(groups, 2))


def donors_of(recipients: int, uses: int) -> int:
    """How many donors of a class are of use, so that each is used EACH_USED times."""
    return max(FEW_IMAGES, -(-recipients * uses // EACH_USED))


def with_partners(sample: Sample, recipients: int, uses: int, seed: int) -> Sample:
    """The sample with `recipients` images, every class alike, that meet `uses` donors of every group each.

    Of more than two classes they meet fewer of each. Every donor is used about equally often, EACH_USED times or so,
    so that what it does can be told from how its recipients react; none meets itself, its near-duplicate or another of
    its cluster. Of few images of a class one of every cluster is taken first.
    """
    rng = np.random.default_rng((seed, len(sample.split), *sample.split.encode()))
    groups = [rng.permutation(np.flatnonzero(sample.labels == index)) for index in np.unique(sample.labels)]
    groups = [one_of_each(group, sample.clusters) for group in groups]
    own_only = len(groups) > MOST_CLASSES
    if own_only:
        groups = [group for group in groups if len(np.unique(sample.clusters[group])) > 1]
    chosen = _in_turn(groups)[:recipients] if len(groups) > 1 else []
    uses = uses_of(sample.n_groups, uses)
    if not own_only:
        groups = [group[: donors_of(len(chosen), uses)] for group in groups]
    decks = _Decks(sample, groups, own_only, rng)
    rows = [decks.partners_of(int(place), uses) for place in chosen]
    return replace(
        sample,
        recipients=np.array(chosen, dtype=np.int64),
        partners=np.array(rows, dtype=np.int64).reshape(len(rows), len(rows[0]) if rows else 0),
    )


class _Decks:
    """Donors, dealt so that each is used about equally often; a deck that is used up is shuffled anew."""

    def __init__(self, sample: Sample, groups: Sequence[Ints], own_only: bool, rng: np.random.Generator) -> None:
        self._clusters, self._labels, self._rng = sample.clusters, sample.labels, rng
        everyone = np.concatenate(groups) if groups else np.zeros(0, np.int64)
        self._pools = {int(self._labels[group[0]]): group for group in groups}
        self._own_only = own_only
        if self._own_only:
            self._pools[-1] = everyone
        self._decks: dict[int, list[int]] = {key: [] for key in self._pools}

    def partners_of(self, place: int, uses: int) -> list[int]:
        """The donors of one recipient, one of each group in turn, `uses` times."""
        label = int(self._labels[place])
        keys = [label, -1] if self._own_only else sorted(self._pools)
        return [self._deal(key, place, label) for _ in range(uses) for key in keys]

    def _deal(self, key: int, place: int, label: int) -> int:
        """A donor from a deck that the recipient may meet; NO_PARTNER where all in it are of its own cluster."""

        def first(donors: Sequence[int]) -> int | None:
            mine = self._clusters[place]
            apart = (at for at, donor in enumerate(donors) if self._clusters[donor] != mine)
            return next((at for at in apart if key != -1 or self._labels[donors[at]] != label), None)

        deck, pool = self._decks[key], self._pools[key]
        if (at := first(deck)) is None:
            if first(pool.tolist()) is None:
                return NO_PARTNER
            deck.extend(self._rng.permutation(pool).tolist())
            at = first(deck)
        return NO_PARTNER if at is None else deck.pop(at)
