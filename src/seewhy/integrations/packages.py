"""The packages of our extras that lead elsewhere, loaded with the first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from seewhy.errors import MissingExtraError


def library(name: str, extra: str, purpose: str) -> Any:
    """The package or module `name`. Raises MissingExtraError that names the extra where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = name.split(".")[0]
        if error.name is None or error.name.split(".")[0] != package:  # it is there, and something that it needs is not
            package = error.name or package
        raise MissingExtraError(package, extra, purpose) from error
