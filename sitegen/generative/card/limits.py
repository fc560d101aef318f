"""Ranges and defaults that the command line shows, too; they must not depend on pydantic."""

MOST_LEVELS = 100_000
"""Largest K of a model."""

DEFAULT_LEVELS = 100
"""Default K of the models that sitegen trains."""

LARGEST_COUNT = 4096
"""Largest number of pixels per side, channels, heads and similar counts."""

LARGEST_BLUR = 1e6
"""Largest blur scale in pixels."""

MOST_CLASSES = 100_000
"""Largest number of class labels."""
