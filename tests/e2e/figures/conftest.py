"""Tiny models on one thread, shared by the tests of all samplers."""

import pytest

from tests.support.tinyfigures import sampler, sources
from tests.support.tinymodel import on_one_thread

__all__ = ["sampler", "sources"]
one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)
