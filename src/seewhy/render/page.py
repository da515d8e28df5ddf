"""What pages, charts and notebooks share: colours that a page may choose, and words on one line."""

from __future__ import annotations

INK, QUIET, LINE = "var(--ink, #202024)", "var(--quiet, #5b5e66)", "var(--line, #d8d9de)"
PANEL, ACCENT = "var(--panel, #ffffff)", "var(--accent, #1f5fa8)"
BAD, CAUTION = "var(--bad, #b5391c)", "var(--caution, #8a5a00)"
UNKNOWN, GOOD = "var(--unknown, #6a5d8c)", "var(--good, #0b6b77)"
_JOINERS = "\u200c\u200d"  # within words of some scripts, and within emoji


def one_line(words: str) -> str:
    """The words on one line: what cannot be printed, or turns the direction of letters, becomes "\ufffd"."""
    if words.isprintable():
        return words
    letters = (
        letter if letter.isprintable() or letter in _JOINERS else " " if letter.isspace() else "\ufffd"
        for letter in words
    )
    return "".join(letters)
