"""What a model's own output means: which tensor is explained, and which row of numbers is kept for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn

from seewhy.errors import ModelError, listed
from seewhy.records import Task

Detections = list[dict[str, Tensor]]

LOGITS = ("logits", "out")
_FEATURES = ("image_embeds", "pooler_output", "last_hidden_state")
_BOXES = ("boxes", "labels", "scores")
_NEEDED = {  # what each task needs, as the messages say it
    "classification": "logits of shape ({n}, K) are",
    "multi-label": "logits of shape ({n}, K) are",
    "regression": "numbers of shape ({n}, K) are",
    "embedding": "an embedding ({n}, D), tokens ({n}, T, D) or a feature map ({n}, C, H, W) is",
    "segmentation": "logits of shape ({n}, K, H, W) are",
    "detection": "a list of {n} dicts with boxes, labels and scores is",
}


@dataclass(frozen=True)
class Output:
    """A model's output for N images, in float32 or wider.

    `main` is what a target sees: logits (N, K), an embedding (N, D), dense logits (N, K, H, W), or for each image a
    dict with boxes (M, 4), labels (M,) and scores (M,). `logits` is the row kept for each image: the logits, outputs
    or embedding themselves; for a segmentation the share of pixels predicted as each class (N, K), NaN where a logit
    is not finite; for a detection the sum of the scores (N, 1).
    """

    main: Tensor | Detections
    logits: Tensor

    def __len__(self) -> int:
        """The number of images."""
        return len(self.logits)

    @property
    def tensor(self) -> Tensor:
        """`main` where it is a tensor: in every task but detection."""
        if not isinstance(self.main, Tensor):
            raise TypeError("the output of a detector is a list of dicts")
        return self.main

    @property
    def detections(self) -> Detections:
        """`main` where it is a list of dicts: in a detection."""
        if isinstance(self.main, Tensor):
            raise TypeError("the output is a tensor")
        return self.main

    @property
    def differentiable(self) -> bool:
        """Whether a gradient can be taken of `main`; a segmentation's `logits` never have one."""
        if isinstance(self.main, Tensor):
            return self.main.requires_grad
        return any(tensor.requires_grad for detected in self.main for tensor in detected.values())

    def take(self, rows: Tensor) -> Output:
        """The output of the images at `rows` (B,), as if they alone had been run."""
        at = rows.to(self.logits.device)
        main = self.main[at] if isinstance(self.main, Tensor) else [self.main[int(row)] for row in rows]
        return Output(main, self.logits[at])


def read_output(raw: Any, n_images: int, task: Task = "classification") -> Output:
    """What `raw`, a model's output for N images, says for the task.

    A tensor; a tuple's or list's first; a dict's or a Hugging Face output's "logits" or "out", for an embedding
    rather its "image_embeds", "pooler_output" or "last_hidden_state". A single column may be (N,), and logits may be
    (N, K, 1, 1), (N, K, 1) or (N, 1, K). For an embedding, tokens (N, T, D) and feature maps (N, C, H, W) or
    (N, H, W, C) are averaged over tokens or places (which token stands for the image is not known). Raises ModelError
    for any other output.
    """
    if task == "detection":
        return _detection(raw, n_images)
    tensor = tensor_in(raw, (*_FEATURES, *LOGITS) if task == "embedding" else LOGITS)
    if tensor is None:
        raise _unfit(f"The network returned {_kind(raw)}", n_images, task, _hint(raw))
    if not tensor.is_floating_point():
        raise _unfit(f"The network returned {str(tensor.dtype).removeprefix('torch.')} numbers", n_images, task, "")
    shaped = _pooled(wide(tensor)) if task == "embedding" else wide(tensor)
    if shaped.ndim == 1 and task != "segmentation":
        shaped = shaped[:, None]
    if shaped.ndim == 4 and task != "segmentation" and shaped.shape[2:] == (1, 1):
        shaped = shaped.flatten(1)
    if shaped.ndim == 3 and task not in ("segmentation", "embedding") and 1 in shaped.shape[1:]:
        shaped = shaped.flatten(1)
    if shaped.ndim != (4 if task == "segmentation" else 2) or len(shaped) != n_images or shaped.shape[1] == 0:
        said = f"The network returned shape {tuple(tensor.shape)} for {n_images} images"
        raise _unfit(said, n_images, task, _shape_hint(tensor, n_images, task))
    return Output(shaped, _shares(shaped.detach()) if task == "segmentation" else shaped)


def guess_task(raw: Any, model: nn.Module) -> Task:
    """What the model is for, by what it returned and what it says of itself.

    Dicts with boxes are a detection; a timm model without a head (`num_classes` is 0), tokens (N, T, D) and outputs
    with features but no logits are an embedding; logits (N, K, H, W) a segmentation; the `problem_type` of a Hugging
    Face configuration says multi-label or regression. Anything else is a classification.
    """
    if _detections_in(raw):
        return "detection"
    logits = tensor_in(raw, LOGITS)
    headless = getattr(model, "num_classes", None) == 0
    if headless or (logits is None and tensor_in(raw, _FEATURES) is not None):
        return "embedding"
    if logits is not None and logits.ndim == 3 and 1 not in logits.shape[1:]:
        return "embedding"
    if logits is not None and logits.ndim == 4 and logits.shape[2:] != (1, 1):
        return "segmentation"
    stated = getattr(getattr(model, "config", None), "problem_type", None)
    told: dict[Any, Task] = {"multi_label_classification": "multi-label", "regression": "regression"}
    return told.get(stated, "classification")


def two_sided(logits: Tensor) -> Tensor:
    """One column of logits as two: the second class gets +z, the first -z, so that softmax(z/2, -z/2) is sigmoid(z).

    Logits (N, K, ...) of more than one column come back unchanged.
    """
    return logits if logits.shape[1] > 1 else torch.cat((-logits, logits), dim=1)


@overload
def predicted(logits: Tensor) -> Tensor: ...
@overload
def predicted(logits: Tensor, task: Task) -> Tensor | None: ...
def predicted(logits: Tensor, task: Task = "classification") -> Tensor | None:
    """The index (N,) of the class that each row decides for: the strongest label, the class with most pixels.

    None for a regression, an embedding and a detection, which decide for no class.
    """
    return None if task in ("regression", "embedding", "detection") else two_sided(logits).argmax(dim=1)


@overload
def probabilities(logits: Tensor) -> Tensor: ...
@overload
def probabilities(logits: Tensor, task: Task) -> Tensor | None: ...
def probabilities(logits: Tensor, task: Task = "classification") -> Tensor | None:
    """Class probabilities (N, K): softmax, of multi-label logits sigmoid, of one logit (1 - sigmoid, sigmoid).

    None for every other task.
    """
    if task not in ("classification", "multi-label"):
        return None
    if logits.shape[1] == 1:
        return torch.cat((1 - logits.sigmoid(), logits.sigmoid()), dim=1)
    return logits.softmax(dim=1) if task == "classification" else logits.sigmoid()


def _detection(raw: Any, n_images: int) -> Output:
    detections = _detections_in(raw)
    if len(detections) != n_images or not detections:
        said = (
            f"The network returned {_kind(raw)}" if not detections else f"The network returned {len(detections)} dicts"
        )
        raise _unfit(f"{said} for {n_images} images" if detections else said, n_images, "detection", _hint(raw))
    main = [
        {name: wide(tensor) for name, tensor in detected.items() if isinstance(tensor, Tensor)}
        for detected in detections
    ]
    return Output(main, torch.stack([detected["scores"].sum() for detected in main])[:, None])


def _detections_in(raw: Any) -> Sequence[Mapping[str, Any]]:
    """The dicts of a detector, one per image; of (losses, detections) the second; else none."""
    if isinstance(raw, tuple) and len(raw) == 2 and isinstance(raw[1], list):
        raw = raw[1]
    whole = isinstance(raw, (list, tuple)) and all(
        isinstance(detected, Mapping) and {*_BOXES} <= {*detected} for detected in raw
    )
    return raw if whole else ()


def tensor_in(raw: Any, names: Sequence[str]) -> Tensor | None:
    """The tensor of the first name that there is, through attributes, dicts, tuples and lists."""
    if isinstance(raw, Tensor):
        return raw
    for name in names:
        inner = raw.get(name) if isinstance(raw, Mapping) else getattr(raw, name, None)
        if inner is not None:
            return tensor_in(inner, names)
    # A Hugging Face output is a mapping too; its first entry may be a loss or one layer's states, so it must be named.
    return tensor_in(raw[0], names) if isinstance(raw, (tuple, list)) and raw else None


def _pooled(features: Tensor) -> Tensor:
    """One vector (N, D) for each image: the mean over tokens (N, T, D), or over the places of a feature map."""
    if features.ndim == 3:
        return features.mean(dim=1)
    if features.ndim != 4:
        return features
    first, height, width = features.shape[1:]  # square places tell where the channels are, else there are more of them
    last = height != width and (first == height or width > first)
    return features.mean(dim=(1, 2) if last else (2, 3))


def _shares(dense: Tensor) -> Tensor:
    """The share of pixels predicted as each class (N, K), two classes for a single map."""
    both = two_sided(dense)
    decided = both.argmax(dim=1).flatten(1)  # (N, H * W)
    counts = torch.zeros(both.shape[:2], dtype=both.dtype, device=both.device)
    counts.scatter_add_(1, decided, torch.ones_like(decided, dtype=both.dtype))
    finite = dense.flatten(1).isfinite().all(dim=1, keepdim=True)
    return torch.where(finite, counts / decided.shape[1], torch.nan)


def wide(tensor: Tensor) -> Tensor:
    """Half-precision numbers as float32, anything else as it is."""
    return tensor.float() if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor


def _kind(raw: Any) -> str:
    if isinstance(raw, Mapping):
        return f"{type(raw).__name__} with {listed(map(str, raw))}" if raw else f"an empty {type(raw).__name__}"
    return type(raw).__name__


def _hint(raw: Any) -> str:
    """The task that would fit an output without the tensor that was looked for, or ""."""
    if _detections_in(raw):
        return _try("a detection", "detection")
    if tensor_in(raw, LOGITS) is None and tensor_in(raw, _FEATURES) is not None:
        return _try("a model without a head", "embedding")
    return ""


def _shape_hint(tensor: Tensor, n_images: int, task: Task) -> str:
    if tensor.ndim == 0 and n_images == 1:
        return "  squeeze() also takes off the axis of the images:  squeeze(1)"
    if tensor.ndim == 0 or len(tensor) != n_images or 0 in tensor.shape:
        return ""
    if tensor.ndim == 4 and task != "segmentation":
        return _try("a segmentation", "segmentation") + "; a feature map:  --task embedding"
    if tensor.ndim == 3 and task != "embedding":
        return _try("the tokens of a model without a head", "embedding")
    return _try("a classification", "classification") if tensor.ndim == 2 else ""


def _try(what: str, task: Task) -> str:
    return f'  That looks like {what}:  --task {task}  (task="{task}" in Python)'


def _unfit(said: str, n_images: int, task: Task, hint: str) -> ModelError:
    needed = _NEEDED[task].format(n=n_images)
    wanted = "returns that" if task in ("embedding", "segmentation", "detection") else "returns the logits"
    return ModelError(
        f"{said}, where {needed} needed for the task {task!r}.\n{hint}{chr(10) if hint else ''}"
        f"  Wrap it in a module whose forward {wanted}.",
        slug="logits-shape",
    )


class Embedding(nn.Module):
    """A network of any output as one that gives (N, K): its logits, else its embedding."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """The logits, or everything that the network gives first (N, K)."""
        return embedding_of(self.model(inputs), len(inputs))


def embedding_of(output: Any, n_images: int) -> Tensor:
    """Any network's output for N images as (N, K): logits, a Hugging Face pooled output, else its first tensor.

    Raises ModelError where there is no tensor of floats in it.
    """
    named = [getattr(output, name, None) for name in ("logits", "pooler_output", "last_hidden_state")]
    embedding = next((value for value in named if isinstance(value, Tensor)), None)
    embedding = first_tensor(output) if embedding is None else embedding
    if embedding is None or embedding.numel() % n_images:
        raise ModelError(
            f"The network returned {type(output).__name__}, in which there is no tensor of floats to explain.\n"
            "  Wrap it in a module whose forward returns the logits or an embedding, (N, K).",
            slug="logits-shape",
        )
    return embedding.reshape(n_images, -1)


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of floats in an output: the tensor, or the first in a tuple, list or Hugging Face output."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return next((tensor for part in output if (tensor := first_tensor(part)) is not None), None)
    return None
