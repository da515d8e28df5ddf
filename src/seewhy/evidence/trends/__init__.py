"""Trends of a whole run: where maps lie, and groups of them. They propose; only an exchange decides."""
