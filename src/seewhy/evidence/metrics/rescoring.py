"""The number that the metrics watch: the probability of the class whose map it is, of images changed in any way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seewhy.cam.model import answer
from seewhy.cam.scores import measures
from seewhy.cam.scores.outputs import Output, read_output
from seewhy.cam.scores.score import Fixed, Measured, Score, about_class
from seewhy.run.machine import out_of_memory
from seewhy.run.plan import Plan


def confidence(score: Score) -> Score:
    """The score whose change is measured: of a class's logit its probability, as the papers have it; else itself."""
    if score.choose is None:
        return score
    rule = about_class(score.choose, lambda out, index: measures.probability(out.tensor, index, score.task))
    return replace(score, name=f"probability:{score.name}", rule=rule, choose=None)


def watched(plan: Plan) -> str:
    """What is measured of each image, in words."""
    score = plan.scores[0]
    return f"the probability of {_named(score)}" if score.choose is not None else f"the score {score.name!r}"


def _named(score: Score) -> str:
    words = {"predicted": "the class that is predicted for the unchanged image", "label": "the label"}
    return words.get(score.name, f"the class {score.name!r}")


@dataclass(frozen=True)
class Rescoring:
    """Images that were asked once, so that what is explained of each holds for every change of it.

    Called with changed images (B, C, H, W) and the rows (B,) that each is a change of, it gives the measured number of
    each (B,), float64 on the CPU. `explained` is the score that maps are made of, with the same choices.
    """

    plan: Plan
    measured: Fixed
    explained: Score

    def __call__(self, changed: Tensor, rows: Tensor) -> Tensor:
        """The measured numbers (B,)."""
        size, model = self.plan.batch_size, self.plan.classifier.model
        parts = []
        for some, at in zip(changed.split(size), rows.split(size), strict=True):
            try:
                raw = answer(model, some.contiguous(memory_format=self.plan.memory_format))
            except (RuntimeError, MemoryError) as error:
                if (full := out_of_memory(error, len(some))) is not None:
                    raise full from error
                raise
            parts.append(self.measured(raw, at).detach().cpu().double())
        return torch.cat(parts)


def rescoring(plan: Plan, inputs: Tensor, labels: Tensor | None, places: Sequence[int]) -> Rescoring:
    """The rescoring of inputs (N, C, H, W); `labels` (N,) are class indices, `places` (N,) rows of the plan's table."""
    score = plan.scores[0]
    output = read_output(answer(plan.classifier.model, inputs), len(inputs), plan.task)
    return Rescoring(plan, confidence(score).fix(output, labels, places), held(score, output, labels, places))


def held(score: Score, output: Output, labels: Tensor | None, places: Sequence[int]) -> Score:
    """The score with what it chose for N images by their own outputs, whatever another network gives for them."""
    fixed = score.fix(output, labels, places)
    index = None if score.choose is None else score.choose(output, labels)

    def rule(other: Output, _: Tensor | None, __: Tensor | None) -> Measured:
        return fixed.measured

    return replace(
        score,
        rule=rule,
        choose=None if index is None else lambda other, _: index,
        needs_labels=False,
        count=None,
        parts=(),
        which=(),
    )
