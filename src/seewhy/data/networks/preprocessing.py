"""Which preprocessing a classifier has: the one asked for, else its own, else the default; with what options change."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seewhy.data.networks.found import Found
from seewhy.data.networks.network import thing_of
from seewhy.data.pipelines.pipelines import Function, read_pipeline
from seewhy.data.pipelines.processors import UnfitProcessorError
from seewhy.errors import OptionError, listed, nearest
from seewhy.records import Preprocess, sized

_FORMS = "net.py:fn or package.module:fn"
_JUDGING = ("val", "valid", "validation", "test", "eval")  # under which a dict has the pipeline that is no training's


def choose_preprocess(
    asked: Any, original: Found, changes: Mapping[str, Any]
) -> tuple[Preprocess | Function, list[str]]:
    """The preprocessing of a network and what is to be said of it; `changes` are options by name, None for not given.

    Raises OptionError, and UnfitProcessorError where nothing replaces an image processor that cannot be used.
    """
    fields = _fields(changes)
    if asked is None:
        base, notes = _own(original, is_changed=bool(fields))
    else:
        given, title = (thing_of(asked, _FORMS), asked) if isinstance(asked, str) else (asked, "")
        base, notes = _as_preprocess(given, title, "preprocess")
    if not fields:
        return base, notes
    if not isinstance(base, Preprocess):
        named = listed(key for key, value in changes.items() if value is not None)
        raise OptionError(f"A preprocessing function decides everything: {named} cannot be given beside it.")
    return replace(base, **fields), notes


def _own(original: Found, *, is_changed: bool) -> tuple[Preprocess | Function, list[str]]:
    """The network's own, else the default; the default, too, where its own is nothing that options can change."""
    try:
        if original.trouble is not None:
            raise original.trouble
        if original.preprocess is None:
            return Preprocess(), []
        base, notes = _as_preprocess(original.preprocess, original.title, f"{original.source}: preprocess")
    except UnfitProcessorError:
        if not is_changed:
            raise
        return Preprocess(), []
    return (Preprocess(), []) if is_changed and not isinstance(base, Preprocess) else (base, notes)


def _as_preprocess(given: Any, title: str, option: str) -> tuple[Preprocess | Function, list[str]]:
    """What is given as a Preprocess or a function, and what is to be said of it; `title` is its name in words."""
    plain = [f"Preprocessing: {title}."] if title else []
    if isinstance(given, Preprocess):
        return given, plain
    if isinstance(given, Mapping):
        judging = next((name for name in _JUDGING if name in given and read_pipeline(given[name])), None)
        if judging is not None:
            return _as_preprocess(given[judging], f"{title or 'the pipelines'}[{judging!r}]", option)
        return replace(Preprocess(), **_fields(given)), plain
    if (reading := read_pipeline(given)) is not None:
        return reading.preprocess, [f"Preprocessing: {title or reading.name}, {reading.how}."]
    if callable(given):
        function: Function = given
        return function, plain
    raise OptionError(
        f"{option} is {type(given).__name__}, but must be a Preprocess, a dict of its fields, or a function or "
        "pipeline of transforms."
    )


def _fields(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Preprocess that are to change: those given, with `resize` and `crop` in terms of the others."""
    given = {key: _normal(key, value) for key, value in changes.items() if value is not None}
    names = [*Preprocess.__dataclass_fields__, "resize", "crop"]
    unknown = [key for key in given if key not in names]
    if unknown:
        raise OptionError(f"There is no option {unknown[0]!r}.  {nearest(unknown[0], names)}".rstrip())
    twice = [key for key in ("size", "fit", "crop_share", "shorter") if key in given]
    if "resize" in given or "crop" in given:
        if twice:
            raise OptionError(f"resize and crop say the size and the fit: {listed(twice)} cannot be given beside them.")
        given |= sized(given.pop("resize", None), given.pop("crop", None))
    elif given.get("fit", "crop") != "crop":
        given.setdefault("crop_share", 1.0)  # of the fit that was there before
    if "size" in given:
        given.setdefault("shorter", None)
    return given


def _normal(key: str, value: Any) -> Any:
    """Option values in the one normal form: tuples of numbers, (height, width), and one side for a resize to it."""
    is_size = key in ("size", "resize", "crop")
    if key not in ("mean", "std", "window") and not is_size:
        return value
    values = (value,) if isinstance(value, numbers.Real) else tuple(value)
    counts = (1, 2) if is_size else (2,) if key == "window" else (len(values),)
    if not all(isinstance(number, numbers.Real) for number in values) or len(values) not in counts:
        form = "one number, or (height, width)" if is_size else "one number or one for each channel"
        form = "two numbers: what becomes black, and what white" if key == "window" else form
        raise OptionError(f"{key} is {value!r}, but must be {form}.")
    if key == "resize" and len(values) == 1:
        return int(values[0])
    return (int(values[0]), int(values[-1])) if is_size else tuple(map(float, values))
