"""Ranges and defaults that the command line tells, too; it must not wait for pydantic."""

MOST_LEVELS = 100_000
"""The highest K of a model."""

DEFAULT_LEVELS = 100
"""The K of our small models, unless told."""

LARGEST_COUNT = 4096
"""Of pixels a side, channels, heads and the like."""

LARGEST_BLUR = 1e6
"""Pixels."""
