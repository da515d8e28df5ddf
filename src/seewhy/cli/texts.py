"""What the text of an option means: class names, targets, sizes, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.errors import OptionError

if TYPE_CHECKING:
    pass


def class_names(text: str | None) -> list[str] | None:
    """Class names from text with commas, or from the lines of a file."""
    if text is None:
        return None
    if "," not in text and Path(text).is_file():
        return [line.strip() for line in Path(text).read_text(encoding="utf-8").splitlines() if line.strip()]
    return [name.strip() for name in text.split(",") if name.strip()]


def targets_of(names: Sequence[str] | None) -> str | dict[str, str]:
    """One target, or several by their own names."""
    names = names or ["predicted"]
    return names[0] if len(names) == 1 else {name: name for name in names}


def pairs_of(option: str, text: str | None) -> dict[str, str]:
    """Names and values from text like path=scan,label=grade."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if not all(equals and name.strip() and value.strip() for name, equals, value in pairs):
        raise OptionError(
            f"{option} is {text!r}, but must look like path=scan,label=grade.  Names alone are for audit, which "
            "compares these columns."
        )
    return {name.strip(): value.strip() for name, _, value in pairs}


def size_of(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """Height and width from 256 or 240x320."""
    sides = sides_of(option, text)
    return None if sides is None else (sides[0], sides[-1])


def sides_of(option: str, text: str | None) -> tuple[int, ...] | None:
    """One side from 256, height and width from 240x320."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) > 2:
        raise OptionError(f"{option} is {text!r}, but must look like 256 or 240x320 (height x width).")
    return tuple(map(int, parts))


def numbers_of(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers from text with commas."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}, but must look like 0.5 or 0.485,0.456,0.406.") from error


def window_of(text: str | None) -> tuple[float, float] | None:
    """What becomes black and what white, from -1000,400."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise OptionError(
            f"--window is {text!r}, but must look like -1000,400: what is black, what is white."
        ) from error
    return low, high


def seed_of(seed: int) -> int:
    """The number of --seed. Raises OptionError where it is too small or too large."""
    from seewhy.records import checked_seed

    return checked_seed(seed)
