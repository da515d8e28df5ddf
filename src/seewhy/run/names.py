"""Names by commas, in lists, or of modules of the network."""

from __future__ import annotations

from typing import Any

from torch import nn

from seewhy.errors import LayerError, OptionError


def split_names(names: Any) -> list[str]:
    """Names by commas or in a list, without empty ones. Raises OptionError for what is no name."""
    texts = list(names) if isinstance(names, (list, tuple, set, frozenset)) else [names]
    for text in texts:
        if not isinstance(text, str):
            raise OptionError(f"A name is expected, as a text or several in a list, but got {type(text).__name__}.")
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def layer_names(network: nn.Module, layers: Any) -> list[str]:
    """The names of layers, some of which may be given as the network's own modules."""
    given = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    return split_names([_name_in(network, layer) if isinstance(layer, nn.Module) else layer for layer in given])


def _name_in(network: nn.Module, module: nn.Module) -> str:
    name = next((name for name, part in network.named_modules() if part is module), "")
    if not name:
        raise LayerError(
            f"The {type(module).__name__} that was given as a layer is no part of {type(network).__name__}.\n"
            "  Name it:  layers='layer4'   See the names:  seewhy layers --model …",
            slug="no-such-layer",
        )
    return name
