"""Links to the images page in a state of its filters."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from seewhy.errors import printable


def images_of(**state: str) -> str:
    """The images page with these filters, as its own script writes them after the #."""
    return f"images.html#{urlencode({name: printable(value) for name, value in state.items()}, quote_via=quote)}"
