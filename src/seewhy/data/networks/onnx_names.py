"""What the layers of an ONNX file are called: as in the network that it was exported from, where the file says so."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

_TAKEN = frozenset((*dir(nn.Module()), "initializers"))  # names that a module has already
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter of 2.5 and later keeps a node's modules


def layer_names(nodes: Sequence[Any]) -> list[str]:
    """A dotted name for each node, all different: /layer1/layer1.0/conv1/Conv is layer1.0.conv1.

    The operator's own name stands behind that of its module where the module has several nodes.
    """
    paths = [_path_of(node) for node in nodes]
    inside = Counter(scope for path in paths for scope in _scopes(path))
    names = [path.rpartition(".")[0] if inside[path.rpartition(".")[0]] == 1 else path for path in paths]
    holding = {scope for name in names for scope in _scopes(name)}
    given: set[str] = set()
    for place, name in enumerate(names):
        unlike, number = name, 0
        while unlike in given or unlike in holding:
            number += 1
            unlike = f"{name}_{number}"
        given.add(unlike)
        names[place] = unlike
    return names


def _scopes(path: str) -> Iterator[str]:
    """a and a.b of a.b.c."""
    parts = path.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts)))


def _path_of(node: Any) -> str:
    """The modules that a node lies in and its operator, with dots between, of letters that a layer's name may have."""
    parts: list[str] = []
    for part in (_kept_scopes(node) or [part for part in node.name.split("/") if part]) or [node.op_type]:
        if parts and part.startswith(parts[-1] + "."):
            parts[-1] = part
        else:
            parts.append(part)
    words = [re.sub(r"\W+", "_", word).strip("_") for word in ".".join(parts).split(".")]
    return ".".join(word + "_" * (word in _TAKEN) for word in words if word) or node.op_type


def _kept_scopes(node: Any) -> list[str]:
    """The modules that a node lies in and its operator, as torch's newer exporter keeps them; [] where it did not."""
    kept = next((entry.value for entry in getattr(node, "metadata_props", ()) if entry.key == _SCOPES), "")
    try:
        scopes = [str(scope) for scope in ast.literal_eval(kept or "[]")]
    except (ValueError, SyntaxError):
        return []
    return [*filter(None, scopes[:-1]), node.op_type] if len(scopes) > 1 else []
