"""Rows as a table of pandas, for those who have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from seewhy.errors import MissingExtraError


def frame_of(records: Sequence[Mapping[str, Any]]) -> Any:
    """A pandas DataFrame with a row for each record. Raises MissingExtraError where pandas is not installed."""
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise MissingExtraError("pandas", None, "to_pandas() (.records is the same as a list of dicts)") from error
    return pandas.DataFrame(list(records))
