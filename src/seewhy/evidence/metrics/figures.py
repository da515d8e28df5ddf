"""All figures of all that is compared: numbers (images, columns) by metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from seewhy.cam.model import untouched
from seewhy.errors import DataError, listed
from seewhy.estimates import Floats
from seewhy.evidence.factors.region_grammar import find_regions
from seewhy.evidence.factors.regions import read_masks
from seewhy.evidence.metrics.catalogue import GAMES
from seewhy.evidence.metrics.confidence import under_map
from seewhy.evidence.metrics.curves import areas, mean_colour
from seewhy.evidence.metrics.mapped import Batch, Column, Mapped
from seewhy.evidence.metrics.pointing import energy_pointing_game, pointing_game
from seewhy.evidence.metrics.randomisation import randomisation
from seewhy.evidence.metrics.ranks import ranks, rows_of
from seewhy.evidence.metrics.road import road_of_ranks
from seewhy.records import Progress
from seewhy.run.plan import Plan

_STAGES = 4  # randomised copies of the network


def figures_of(found: Mapped, core: Tensor | None, *, seed: int, progress: Progress) -> dict[str, Floats]:
    """By metric the numbers (N, K) of N images and K columns; NaN where there is none.

    `core` (N, H, W) are the masks of the pointing games, which have numbers of the same images.
    """
    columns, done = found.columns, 0
    total = len(found) * (len(columns) + _STAGES)

    def step(images: int) -> None:
        nonlocal done
        done += images
        progress(min(done, total), total)

    with untouched(found.plan.classifier.model):
        parts = [_of_batch(found, batch, core, seed, step) for batch in found.batches()]
        figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        changed = randomisation(found, seed=seed, step=step)
    unchanged = np.ones(len(found))  # what knows nothing of the network stays as it is
    figures["randomised"] = np.stack(
        [changed[column.key] if column.key is not None else unchanged for column in columns], axis=1
    )
    if core is not None:
        is_played = np.logical_and.reduce([np.isfinite(figures[name]).all(axis=1) for name in GAMES])
        figures |= {name: np.where(is_played[:, None], figures[name], np.nan) for name in GAMES}
    progress(total, total)
    return figures


def _of_batch(
    found: Mapped, batch: Batch, core: Tensor | None, seed: int, step: Callable[[int], None]
) -> dict[str, Floats]:
    """The figures (n, K) of some images that ask the network as it is."""
    bare = mean_colour(batch.inputs)
    ends = tuple(batch.rescore(images, rows_of(images)) for images in (batch.inputs, bare))
    masks = None if core is None else core[batch.rows]
    by_column = []
    for column in found.columns:
        by_column.append(_of_column(found, batch, column, bare, (ends[0], ends[1]), masks, seed))
        step(len(batch.inputs))
    return {name: torch.stack([figures[name] for figures in by_column], dim=1).numpy() for name in by_column[0]}


def _of_column(
    found: Mapped,
    batch: Batch,
    column: Column,
    bare: Tensor,
    ends: tuple[Tensor, Tensor],
    masks: Tensor | None,
    seed: int,
) -> dict[str, Tensor]:
    """The figures (n,) of some images and one column."""
    inputs, rescore = batch.inputs, batch.rescore
    maps = found.on_canvas(column, batch.rows).to(inputs.device, torch.float32)
    ranked = ranks(maps, seed=seed)
    removed = road_of_ranks(ranked, inputs, rescore, seed=seed)
    under = areas(ranked, inputs, bare, rescore, ends=ends)
    alone = under_map(maps, inputs, rescore, before=ends[0])
    figures = {
        "road": removed.combined,
        "srg": under.gain,
        "deletion": under.deletion,
        "insertion": under.insertion,
        "drop": alone.drop,
        "increase": alone.rises,
    }
    if masks is not None:
        pointing, energy = pointing_game(maps.cpu(), masks), energy_pointing_game(maps.cpu(), masks)
        figures |= {"pointing": pointing.value, "energy": energy.value, "area": energy.area}
    return figures


def core_masks(core: str, plan: Plan, found: Mapped) -> tuple[Tensor, list[str]]:
    """The masks (N, H, W), 0 or 1, of what should matter, and what is to be said of them; 0 where an image has none.

    A pixel of the network's input is in it that is so at least by half. Several regions are taken together. Raises
    OptionError and DataError as `find_regions` does, and DataError where no image has a mask.
    """
    images = [outcome.image for outcome in found.outcomes]
    read = read_masks(find_regions(core, plan.table), plan.table, images, plan.canvas, plan.classifier.preprocess)
    covered = torch.stack([masks.masks for masks in read.values()]).amax(dim=0)
    together = (covered >= 0.5).float()
    thin = int(((covered > 0).flatten(1).any(dim=1) & (together == 0).flatten(1).all(dim=1)).sum())
    missing = int((together.flatten(1).amax(dim=1) == 0).sum())
    if missing == len(images):
        reasons = [reason for masks in read.values() for reason in masks.reasons if reason]
        if thin:
            reasons.append("they fill no pixel of the network's input by half")
        why = listed(list(dict.fromkeys(reasons)), 2) or "all masks are empty"
        raise DataError(
            f"The pointing games need a mask of {core!r}, and none of {len(images):,} images has one: {why}.\n"
            "  Leave --core out, or name masks that are called like the images:  --core object=masks/",
            slug="no-masks",
        )
    why = f" (of {thin:,} it fills no pixel of the network's input by half)" if thin else ""
    words = f"{missing:,} of {len(images):,} images have no mask of {core!r}{why}: the pointing games are without them."
    return together, [words] if missing else []


def dropped_words(figures: Mapping[str, Floats], core: Tensor) -> list[str]:
    """How many images with a mask of the core (N, H, W) the pointing games are without; nothing where that is none."""
    has_mask = (core.flatten(1).amax(dim=1) > 0).numpy()
    dropped = int((has_mask & ~np.isfinite(figures[GAMES[0]]).all(axis=1)).sum())
    if not dropped:
        return []
    which = f"{dropped:,} of {int(has_mask.sum()):,} images with a mask have a map without a positive part"
    return [f"{which}: the pointing games are without them."]
