"""Clips for the column of a phone, drawn a second time: sizes in CSS pixels unless said."""

COLUMN = 350
"""Width of the column."""
COLUMNS, FEWEST, FEWEST_OF_ROW = 8, 6, 4
"""Pictures in a row of a grid, at most; at least, so that all rows of a grid, or all parts of a row
whose pictures belong together, are equally long."""
MOST = 144
"""Pictures of a grid that is drawn a second time, at most."""
TREE_PICTURE, TREE_WIDTH = 56, 720
"""Side of a picture of a tree, at least, and width of its canvas in pixels, about."""
GUTTER = 0.6
"""Space between two generations of a tree, in pictures, at most."""
LEAF_GAP = 0.1
"""Space between two leaves of a tree, in pictures."""
LABEL = 12
"""Size of a label, at least."""
