"""Figures of tiny models, and clips that are small."""

import pytest

from tests.support.quick import SMALLER
from tests.support.tinyfigures import sampler, sources

__all__ = ["sampler", "sources"]


@pytest.fixture
def small_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw little in a test."""
    for name, value in SMALLER.items():
        monkeypatch.setattr(name, value)
