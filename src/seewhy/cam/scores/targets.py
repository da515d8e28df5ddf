"""From a target, as users write it, to what is explained: one number per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seewhy.cam.scores import measures
from seewhy.cam.scores.grammar import (
    FINER_ALPHA,
    FINER_RIVALS,
    FORMS,
    PIXELS,
    class_chooser,
    class_index,
    finer_kind,
    not_for,
    word_score,
)
from seewhy.cam.scores.outputs import Output, predicted, probabilities, two_sided
from seewhy.cam.scores.score import Fixed, Measured, Score, about_class, each_own, of_outputs
from seewhy.errors import OptionError, listed
from seewhy.records import Task

__all__ = [
    "Fixed",
    "Score",
    "Target",
    "TargetSpec",
    "Targets",
    "as_finer",
    "boxes",
    "class_index",
    "find_score",
    "find_scores",
    "finer",
    "one_logit_note",
    "pixels",
    "predicted",
    "probabilities",
    "similarity",
    "two_sided",
]


@dataclass(frozen=True)
class TargetSpec:
    """A target that holds more than a word, for `find_score`: what `similarity`, `pixels`, `boxes` and `finer` give."""

    name: str
    task: Task
    build: Callable[[Sequence[str]], Score]


OneTarget = str | int | Callable[[Any], Tensor] | TargetSpec | Score
Target = OneTarget | Sequence[OneTarget] | Tensor | NDArray[Any]
Targets = Target | Mapping[str, Target]


def find_scores(
    target: Targets, classes: Sequence[str], task: Task = "classification", n_images: int | None = None
) -> list[Score]:
    """The scores that `target` names: one, or of a dict one for each name, called so.

    Raises OptionError as `find_score` does, and where each of `n_images` images should have its own target and does
    not.
    """
    if isinstance(target, Mapping):
        if not target or not all(isinstance(name, str) and name.strip() for name in target):
            raise OptionError(
                f"A dict of targets needs a name for each, but its names are: {listed(map(repr, target)) or 'none'}.\n"
                '  For example:  target={"dog": "dog", "decision": "margin"}',
                slug="target",
            )
        scores = [replace(find_score(asked, classes, task), name=name) for name, asked in target.items()]
    else:
        scores = [find_score(target, classes, task)]
    for score in scores:
        if n_images is not None:
            score.check_count(n_images)
    return scores


def find_score(target: Target, classes: Sequence[str], task: Task = "classification") -> Score:
    """The score that `target` names, for a model of that task with those classes (of a regression: outputs).

    A class name or index; "predicted", "label"; "margin" (the class minus the largest other logit), "probability",
    "log-probability" and "finer" of the predicted class or with ":CLASS"; "contrast:A:B"; "output:K", a raw column;
    "embedding"; "pixels:CLASS"; "boxes"; what `similarity`, `pixels`, `boxes` and `finer` give; a callable of the
    model's output; or a list with one of these for each image. A class named like one of the words is reached by its
    index. Raises OptionError with the nearest names.
    """
    if isinstance(target, (Score, TargetSpec)):
        if target.task != task:
            raise not_for(target.name, task)
        return target if isinstance(target, Score) else target.build(classes)
    if isinstance(target, (Tensor, np.ndarray)):
        return find_score(target.tolist(), classes, task)
    if isinstance(target, (list, tuple)):
        return _listed_score(target, classes, task)
    if isinstance(target, (str, int, np.integer)):
        return word_score(target if isinstance(target, str) else int(target), classes, task)
    if callable(target):
        name = getattr(target, "__name__", "custom").strip("<>")
        return Score(name, of_outputs(target), task, f"callable {name}", code=target)
    raise OptionError(
        f"A target cannot be a {type(target).__name__}.\n  Targets: {FORMS[task]}, a callable, or a list with one for "
        "each image.",
        slug="target",
    )


def one_logit_note(classes: Sequence[str]) -> str:
    """What a one-logit network's sign means here."""
    return (
        f"One logit: above 0 means {classes[1]!r}, below 0 means {classes[0]!r}; "
        f"{classes[0]!r} is explained by minus the logit."
    )


def similarity(vectors: Any) -> TargetSpec:
    """The target "how like these": the mean cosine similarity of the embedding to a vector (D,) or vectors (M, D).

    Args:
        vectors: a vector (D,) or several (M, D) of finite numbers

    Raises:
        OptionError for other shapes, here or when the embedding has another D.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> embedder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> embedding = seewhy.load(embedder, task="embedding")
        >>> like_first = seewhy.similarity(embedder(images[:1]))
        >>> print(seewhy.explain(embedding, images, target=like_first, progress=False).maps.shape)  # (4, 30, 30)
    """
    wanted = torch.as_tensor(vectors, dtype=torch.float32).detach()
    wanted = wanted[None] if wanted.ndim == 1 else wanted
    if wanted.ndim != 2 or not wanted.numel() or not bool(wanted.isfinite().all()):
        raise OptionError(
            f"similarity() needs a vector (D,) or vectors (M, D) of finite numbers, and got {tuple(wanted.shape)}.",
            slug="target",
        )
    units = functional.normalize(wanted, dim=1)

    def measured(embedding: Tensor) -> Tensor:
        if embedding.shape[1] != units.shape[1]:
            raise OptionError(
                f"similarity() was given vectors of {units.shape[1]} numbers, but the embedding has "
                f"{embedding.shape[1]}.",
                slug="target",
            )
        return measures.cosine(embedding, units.to(embedding))

    score = Score("similarity", of_outputs(measured), "embedding", "similarity", code=["similarity", units])
    return TargetSpec("similarity", "embedding", lambda classes: score)


def pixels(mask: Any, of: str | int = "predicted") -> TargetSpec:
    """The target "this class here": the mean logit of class `of` over a mask (H, W), or one for each image (N, H, W).

    Args:
        mask: (H, W), or one for each image (N, H, W), in 0..1; brought to the size of the output
        of: a class by name or index, "label", or "predicted"

    Raises:
        OptionError for masks of another shape or range.

    Example:
        >>> segmenter = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
        >>> mask = torch.zeros(32, 32)
        >>> mask[8:24, 8:24] = 1
        >>> where = seewhy.pixels(mask, of="cat")
        >>> cats = seewhy.load(segmenter, classes=["none", "cat"])
        >>> print(seewhy.explain(cats, images, target=where, layers="0", progress=False).maps.shape)  # (4, 32, 32)
    """
    held = torch.as_tensor(mask).detach().float()
    if held.ndim not in (2, 3) or not held.numel() or not bool(((held >= 0) & (held <= 1)).all()):
        raise OptionError(
            f"pixels() needs a mask (H, W) or (N, H, W) of numbers from 0 to 1, and got {tuple(held.shape)}.",
            slug="target",
        )

    def build(classes: Sequence[str]) -> Score:
        name, choose = class_chooser(of, classes, "segmentation")

        def rule(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
            masks = held.expand(len(output), -1, -1) if held.ndim == 2 else held if places is None else held[places]
            masks = masks.to(output.logits.device)
            return about_class(choose, PIXELS[0], lambda out, c: (masks,))(output, labels, places)

        count = len(held) if held.ndim == 3 else None
        said = f"mask:{name}"
        return Score(said, rule, "segmentation", said, of == "label", count, code=["pixels", held])

    return TargetSpec("pixels", "segmentation", build)


def boxes(wanted: Any, labels: Sequence[str | int] | Tensor, *, iou: float = 0.5) -> TargetSpec:
    """The target "these boxes": for each wanted box (M, 4) the overlap and score of the detection that shows it.

    Args:
        wanted: boxes (M, 4): x1, y1, x2, y2 in pixels of the input
        labels: M class names or indices
        iou: a detection shows a box where it has its label and overlaps it by more than this, 0 to 1

    Raises:
        OptionError where boxes and labels do not fit together.

    Example:
        >>> class Detector(nn.Module):
        ...     '''One box and one label for each image.'''
        ...
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.features = nn.Conv2d(3, 8, 3, padding=1)
        ...
        ...     def forward(self, images):
        ...         score = self.features(images).mean(dim=(1, 2, 3)).sigmoid()
        ...         box = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
        ...         return [{"boxes": box, "labels": torch.tensor([1]), "scores": one[None]} for one in score]
        >>> wanted = seewhy.boxes([[8, 8, 24, 24]], labels=[1], iou=0.5)
        >>> print(seewhy.explain(Detector(), images, target=wanted, progress=False).maps.shape)  # (4, 32, 32)
    """
    held = torch.as_tensor(wanted).detach().float()
    names = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else list(labels)
    if held.ndim != 2 or held.shape[1] != 4 or len(names) != len(held):
        raise OptionError(
            f"boxes() needs boxes (M, 4) and a label for each, and got {tuple(held.shape)} with {len(names)} labels.",
            slug="target",
        )

    def build(classes: Sequence[str]) -> Score:
        index = torch.tensor([class_index(name, classes, "detection") for name in names], dtype=torch.long)
        rule = of_outputs(lambda main: measures.wanted_boxes(main, held, index, iou))
        return Score("wanted-boxes", rule, "detection", "wanted-boxes", code=["boxes", held, index, iou])

    return TargetSpec("wanted-boxes", "detection", build)


def finer(of: Target = "predicted", *, alpha: float = FINER_ALPHA, rivals: int = FINER_RIVALS) -> TargetSpec:
    """The target of Finer-CAM: the class minus `alpha` times those whose logits are nearest, chosen once per image.

    Zhang et al. 2025, arXiv:2501.11309. With two classes and `alpha` 1 it is the margin.
    """
    return TargetSpec(
        "finer", "classification", lambda classes: as_finer(find_score(of, classes), alpha=alpha, rivals=rivals)
    )


def as_finer(score: Score, *, alpha: float = FINER_ALPHA, rivals: int = FINER_RIVALS) -> Score:
    """Finer-CAM's score of the classes whose logits `score` explains, also where each image has its own.

    Raises OptionError for a score that is not the logit of a class, or whose classes do not compete.
    """
    if score.parts:
        parts = [as_finer(part, alpha=alpha, rivals=rivals) for part in score.parts]
        return each_own(parts, score.which, score.task)
    if score.choose is None or score.task != "classification":
        raise OptionError(
            f"Finer-CAM compares one class with those most like it, so it needs a class, and {score.name!r} (task "
            f"{score.task!r}) is none.\n  Targets: a class name or index, predicted, label.",
            slug="target",
        )
    if rivals < 1:
        raise OptionError(f"rivals is {rivals}, but must be at least 1.", slug="target")
    name = "finer" if score.name == "predicted" else f"finer:{score.name}"
    rule = about_class(score.choose, *finer_kind(alpha, rivals))
    return Score(name, rule, score.task, f"{name} alpha={alpha} rivals={rivals}", score.needs_labels)


def _listed_score(targets: Sequence[OneTarget], classes: Sequence[str], task: Task) -> Score:
    parts: list[Score] = []
    known: dict[Any, int] = {}
    which = []
    for target in targets:
        if isinstance(target, (list, tuple, Mapping)):
            raise OptionError(
                f"In a list of targets, one for each image, there is a {type(target).__name__}.", slug="target"
            )
        key = (type(target), target) if isinstance(target, (str, int)) else id(target)
        if key not in known:
            known[key] = len(parts)
            parts.append(find_score(target, classes, task))
        which.append(known[key])
    return each_own(parts, which, task)
