"""Fixtures of the tests against the other package."""

from __future__ import annotations

import pytest


@pytest.fixture
def _no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr("tqdm.tqdm", lambda steps: steps)
