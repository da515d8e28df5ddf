"""A seeded choice of images in which every split and class keeps its share."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from seewhy.records import Image


def sampled(images: Sequence[Image], count: int, seed: int) -> tuple[Image, ...]:
    """A seeded choice in table order; every split and class gets its share, rounded by largest remainder."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        groups[image.split or "", image.label or ""].append(place)
    count = min(count, len(images))
    exact = {key: count * len(places) / len(images) for key, places in groups.items()}
    quota = {key: int(value) for key, value in exact.items()}
    for key in sorted(exact, key=lambda key: (quota[key] - exact[key], key))[: count - sum(quota.values())]:
        quota[key] += 1
    chosen = random.Random(seed)
    kept = [place for key in sorted(groups) for place in chosen.sample(groups[key], quota[key])]
    return tuple(images[place] for place in sorted(kept))
