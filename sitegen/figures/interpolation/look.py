"""Constants of the panels and the strip of an interpolation; they are part of its key."""

IN_A_STRIP = 10
"""Largest number of points of each path in the strip."""
