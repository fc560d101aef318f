"""Text in images, strips and panels: sizes in pixels."""

INDEX = 0.68
"""Size of an index, relative to its letter."""
LOWERED = 0.18
"""Distance of its baseline below that of the letter, relative to the letter."""
STRIP_WIDTH = 920
"""Width for the images of a strip, if they are small."""
STRIP_GAP = 4
FONT = 24
PANEL = 320
"""Width of a panel with its share of the gaps, at most."""
GAP = 16
"""Space between panels; even."""
