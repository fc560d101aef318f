"""Colours of pictures: RGB, 0 to 255."""

BACKGROUND = (32, 36, 48)
INK = (228, 231, 241)
"""Background and text of pictures that are shown on pages of any colour."""
LIGHT = (255, 255, 255), (29, 33, 48)
DARK = (18, 21, 31), INK
"""Paper and ink of the theme (static/style.css), for light pages and for dark ones."""
