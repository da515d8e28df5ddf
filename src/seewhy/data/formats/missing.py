"""What to say of a path that is not there."""

from __future__ import annotations

from pathlib import Path

from seewhy.errors import beside, nearest


def nearest_paths(path: Path, pattern: str = "*") -> str:
    """The nearest paths as they have to be typed, with their folder; else where it was looked for: a sentence."""
    found = path.parent.glob(pattern) if path.parent.is_dir() else ()
    close = sorted(str(one) for one in found if not one.name.startswith(".") and nearest(path.name, [one.name]))
    return nearest(str(path), close) or beside(path, pattern)
