"""Copies of a network: what a repair changes, so that the network itself is left as found."""

from __future__ import annotations

import copy

from torch import nn

from seewhy.errors import ModelError


def copied(network: nn.Module) -> nn.Module:
    """A copy of the network. Raises ModelError where it holds something that cannot be copied."""
    try:
        return copy.deepcopy(network)
    except Exception as error:  # of the network's own parts
        name = type(network).__name__
        raise ModelError(
            f"{name} cannot be copied ({type(error).__name__}: {error}), and a repair changes copies alone.\n"
            "  Say in its class how a copy of it is made:  def __deepcopy__(self, memo): ...",
            slug="cannot-train",
        ) from error
