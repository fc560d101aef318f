"""Constants of the panels and the strip of an interpolation; they are part of its key."""

LABELS = {"DDPM": "Full DDPM latent"}
"""Names of panels that differ from that of the way to sample."""
IN_A_STRIP = 10
"""Largest number of points of each path in the strip."""
