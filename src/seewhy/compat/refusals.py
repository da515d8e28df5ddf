"""Errors of ours that scripts may catch as what that package raises."""

from __future__ import annotations

from seewhy.errors import OptionError


class ArgumentError(OptionError, ValueError):
    """Occurs when an argument does not fit that upstream refuses with a ValueError, or ought to."""


class NoSuchClassError(OptionError, IndexError):
    """Occurs when a network has no such output; upstream raises an IndexError, and `with` swallows it."""

    slug = "no-such-class"
