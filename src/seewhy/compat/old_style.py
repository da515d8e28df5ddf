"""Calls as they were written for that package's earlier versions, taken as today's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from seewhy.compat.notice import warn
from seewhy.compat.refusals import ArgumentError
from seewhy.compat.targets import ClassifierOutputTarget


def takes_use_cuda(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that also takes `use_cuda` in third place, where it stood until 1.4.8, and by name.

    And one layer as `target_layer`, as until 1.3.
    """

    @functools.wraps(init)
    def made(self: Any, *given: Any, **named: Any) -> None:
        _, _, *third = given[:3] if len(given) > 2 else (None, None)
        if third and isinstance(third[0], bool):
            given, named = (*given[:2], *given[3:]), {"use_cuda": third[0], **named}
        if "target_layer" in named and "target_layers" not in named and len(given) < len(("model", "target_layers")):
            layer = named.pop("target_layer")
            warn("target_layer=… is what target_layers was called until 1.3:  target_layers=[layer]")
            named["target_layers"] = layer if isinstance(layer, (list, tuple)) else [layer]
        init(self, *given, **named)

    return made


def named_targets(targets: Any, target_category: Any) -> Any:
    """The targets, or those of `target_category`: a class for all images, or one for each, as until 1.3.

    Raises ArgumentError where both are given.
    """
    if target_category is None:
        return targets
    if targets is not None:
        raise ArgumentError(
            "targets and target_category both say what is explained.\n"
            "  Give one:  targets=[ClassifierOutputTarget(281)]"
        )
    warn(
        f"target_category={target_category!r:.40} is what targets was called until 1.3:  "
        "targets=[ClassifierOutputTarget(281)]"
    )
    if isinstance(target_category, Sequence):
        return [ClassifierOutputTarget(category) for category in target_category]
    return ClassifierOutputTarget(target_category)
