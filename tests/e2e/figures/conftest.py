"""Tiny models, shared by the tests of all samplers."""

from tests.support.tinyfigures import sampler, sources

__all__ = ["sampler", "sources"]
