"""What is explained of each image: functions of its own output, by the names that scripts know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.scores.measures import box_iou
from seewhy.compat.refusals import NoSuchClassError
from seewhy.errors import OptionError, counted


class ClassifierOutputTarget:
    """The output of one class: of outputs (K,) a number, of (N, K) one for each image."""

    def __init__(self, category: Any) -> None:
        self.category = category

    def __call__(self, model_output: Tensor) -> Tensor:
        """The class's output. Raises OptionError for a class that there is not."""
        if model_output.ndim == 0:
            class_place(self.category, 1)
            return model_output
        return model_output[..., class_place(self.category, model_output.shape[-1])]


class ClassifierOutputSoftmaxTarget(ClassifierOutputTarget):
    """The class's probability: the softmax over all outputs."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """The class's softmax."""
        return super().__call__(torch.softmax(model_output, dim=-1))


class ClassifierOutputReST(ClassifierOutputTarget):
    """The class's logit plus its log-probability: before and after the softmax. Cai 2025, arXiv:2501.06261."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """The sum of the two."""
        return super().__call__(model_output) + super().__call__(functional.log_softmax(model_output, dim=-1))


class BinaryClassifierOutputTarget:
    """Of a network with one output: the output for category 1, minus it for 0."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Tensor) -> Tensor:
        """Plus or minus the output. Raises OptionError where there are several."""
        if model_output.ndim and model_output.shape[-1] > 1:
            raise OptionError(
                f"BinaryClassifierOutputTarget is for one output, and the network gives {model_output.shape[-1]}.\n"
                f"  targets=[ClassifierOutputTarget({int(self.category)})]",
                slug="target",
            )
        return model_output if self.category == 1 else -model_output


class SoftmaxOutputTarget:
    """All probabilities; for metrics, and for networks with one output."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """The softmax over the last axis."""
        return torch.softmax(model_output, dim=-1)


class RawScoresOutputTarget:
    """All outputs as they are; for metrics, and for networks with one output."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """The outputs."""
        return model_output


class SemanticSegmentationTarget:
    """The sum of a category's logits over the pixels of a mask (H, W), of dense logits (K, H, W)."""

    def __init__(self, category: int, mask: Any) -> None:
        self.category = category
        self.mask = torch.as_tensor(mask)

    def __call__(self, model_output: Tensor) -> Tensor:
        """The sum. Raises OptionError where the mask has another size than the logits."""
        if model_output.ndim != 3 or model_output.shape[1:] != self.mask.shape:
            raise OptionError(
                f"The mask has shape {tuple(self.mask.shape)}, and the output for one image "
                f"{tuple(model_output.shape)}, where (K, H, W) of the same H and W is needed.\n"
                "  Resize the mask to the output.",
                slug="target",
            )
        place = class_place(self.category, len(model_output))
        return (model_output[place] * self.mask.to(model_output.device)).sum()


class FasterRCNNBoxScoreTarget:
    """How well a detector's boxes show the wanted ones, summed: of each wanted box its best overlap plus the score.

    The detected box that overlaps a wanted one (x1, y1, x2, y2) most counts if the overlap is above `iou_threshold`
    and it has the wanted label; else the wanted box counts nothing.
    """

    def __init__(self, labels: Sequence[Any], bounding_boxes: Any, iou_threshold: float = 0.5) -> None:
        self.labels = labels
        self.bounding_boxes = bounding_boxes
        self.iou_threshold = iou_threshold

    def __call__(self, model_outputs: Mapping[str, Tensor]) -> Tensor:
        """The sum (1,) for one image's dict of boxes, labels and scores."""
        boxes, labels, scores = (model_outputs[name] for name in ("boxes", "labels", "scores"))
        total = boxes.new_zeros(1)
        if not len(boxes):
            return total
        for box, label in zip(self.bounding_boxes, self.labels, strict=True):
            overlaps = box_iou(torch.as_tensor(box).to(boxes)[None], boxes)[0]
            best = overlaps.argmax()
            if overlaps[best] > self.iou_threshold and labels[best] == label:
                total = total + overlaps[best] + scores[best]
        return total


class FinerWeightedTarget:
    """A class's output minus `alpha` times those of its rivals, weighed by their probabilities.

    Zhang et al. 2025, arXiv:2501.11309.
    """

    def __init__(self, main_category: int, comparison_categories: Sequence[int], alpha: float) -> None:
        self.main_category = main_category
        self.comparison_categories = comparison_categories
        self.alpha = alpha

    def __call__(self, model_output: Tensor) -> Tensor:
        """The weighted difference, of outputs (K,) or (N, K)."""
        n_classes = model_output.shape[-1]
        rivals = [class_place(category, n_classes) for category in self.comparison_categories]
        own = model_output[..., class_place(self.main_category, n_classes)]
        if not rivals:
            return own
        # The softmax among the rivals alone: the same weights, and none is lost where the class is nearly certain.
        others = model_output[..., rivals]
        return own - self.alpha * (others.softmax(dim=-1) * others).sum(dim=-1)


def class_place(category: Any, n_classes: int) -> int:
    """The category as an index into n outputs, -1 being the last. Raises OptionError where there is none."""
    try:
        place = int(category)
    except (TypeError, ValueError, OverflowError):
        place = None
    if place is None or place != category or not -n_classes <= place < n_classes:
        last = f"(0 to {n_classes - 1})" if n_classes > 1 else "(number 0)"
        advice = (
            "targets=[BinaryClassifierOutputTarget(1)]" if n_classes == 1 else "targets=[ClassifierOutputTarget(0)]"
        )
        raise NoSuchClassError(
            f"There is no class {category!r:.40}: the network gives {counted(n_classes, 'output')} {last}.\n"
            f"  For example:  {advice}"
        )
    return place % n_classes
