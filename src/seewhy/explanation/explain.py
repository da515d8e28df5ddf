"""`explain`: run a plan in memory, or into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from seewhy.cam.scores.targets import Targets
from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.volumes import are_volumes, holds_volumes, volume_table
from seewhy.errors import OptionError
from seewhy.explanation.only import check_only, with_only
from seewhy.explanation.result import Explanation
from seewhy.explanation.shard import explain_shard
from seewhy.explanation.volumes import VolumeExplanation, check_volumes
from seewhy.records import Progress, checked_folder
from seewhy.run.methods import MethodName
from seewhy.run.plan import Plan, make_plan
from seewhy.run.progress import chosen_progress
from seewhy.run.workers import run_shards


def explain(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    target: Targets = "predicted",
    layers: str | Sequence[str] = "auto",
    method: MethodName | Sequence[MethodName] = "auto",
    preset: str | None = None,
    smooth: str | Sequence[str] = (),
    grid: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    only: str | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    extend: bool = False,
    progress: bool | Progress = True,
) -> Explanation:
    """Maps, overlays and predictions of every image, raw maps signed on the layer's own grid.

    The model is left exactly as found.

    Args:
        classifier: a Classifier or an nn.Module
        images: what names images
        target: a class by name or index, "predicted", "label", "margin", "contrast:A:B", …; a function of
            the output that gives (N,); a list with one for each image; a dict of several by name
        layers: dotted names, in a list or by commas; "auto": the last layer with a grid that matters
        method: a name or several: seewhy methods lists them; "auto": HiResCAM where the head flattens, else
            Grad-CAM; or your own
        preset: "pytorch-grad-cam": the pictures that this package makes
        smooth: "augment": the mean over mirrored and scaled inputs; "eigen": the first component; or both
        grid: "14x14", "channels-first" or "channels-last", where a layer's grid cannot be told
        limit: only the first so many images
        sample: so many images by seeded chance, each class and split keeping its share
        only: "wrong" or "right": the images that are answered so; all are answered first
        batch_size: images at once, 64 at most; None: by the free memory
        seed: of every random choice
        out: a run folder that survives being killed; None: in memory
        extend: take images that were added into the finished run in out
        progress: True: a bar; False: none; or a function of (done, total), in images

    Returns:
        an Explanation.

    Raises:
        LayerError (no such layer, no grid), OptionError (no such method or target), DataError (no images,
        sizes that differ), StoreError (the folder holds something else).

    Example:
        >>> explanation = seewhy.explain(classifier, "faces/valid", target="fake", layers=["conv3", "conv4"], limit=40)
        >>> print(explanation)
        >>> print(explanation.maps["conv4"].shape)  # (40, 4, 4)
        >>> explanation[3].overlay.save("overlay.png")
        >>> explanation.save("runs/explain")
    """
    check_extend(extend, out)
    folder = None if out is None else checked_folder(out)
    if are_volumes(images):
        check_volumes(method, out=out, only=only, preset=preset, smooth=smooth, grid=grid)
        images = volume_table(images)
    plan = make_plan(
        classifier,
        images,
        target=target,
        layers=layers,
        method=method,
        preset=preset,
        smooth=smooth,
        grid=grid,
        limit=limit,
        sample=sample,
        batch_size=batch_size,
        seed=seed,
    )
    check_only(plan, only)
    if only is not None:
        with chosen_progress(progress, "Answering") as update:
            plan = with_only(plan, only, progress=update)
    with chosen_progress(progress, "Explaining") as update:
        if folder is None:
            return run_in_memory(plan, progress=update)
        run_in_folder = import_module("seewhy.explanation.folder").run_in_folder  # what tables and arrays need is large
        explanation: Explanation = run_in_folder(plan, folder, extend=extend, progress=update)
        return explanation


def check_extend(extend: bool, out: object) -> None:
    """Raise OptionError where `extend` names no folder that could grow."""
    if extend and out is None:
        raise OptionError(
            "--extend needs the folder of the run:  --out FOLDER\n"
            "  Without --out the folder is named after everything that decides the results, the images too."
        )


def run_in_memory(plan: Plan, *, progress: Progress) -> Explanation:
    """The explanation with all maps held in memory; overlays are drawn when asked for."""
    results = []
    for result in run_shards(partial(explain_shard, plan, overlays=False), plan.shards()):
        results.append(result)
        progress(result.shard.stop, len(plan.table))
    maps = {key: np.concatenate([result.maps[key] for result in results]) for key in plan.keys}
    outcomes = [outcome for result in results for outcome in result.outcomes]
    stats = [stat for result in results for stat in result.stats]
    kind = VolumeExplanation if holds_volumes(plan.table) else Explanation
    return kind(plan, outcomes, stats, maps, writer=_write)


def _write(explanation: Explanation, folder: Path) -> None:
    """Write an explanation that is held in memory as a run in a folder would have."""
    import_module("seewhy.explanation.folder").write(explanation, folder)
