"""Constants of a tree's drawing; they are part of its key."""

WIDTH = 1280
"""Width of the canvas in pixels; it becomes wider if the pictures need it."""
GUTTER = 0.8
"""Least space between two generations, in pictures."""
STAGGER = 0.3
"""Space between the two columns of leaves, in pictures."""
MARGIN = 4
"""Space in pixels around the tree; even."""
OUTLINE = 1
"""Width in pixels of the line around a picture."""
GROWTH = 0.35
"""Share of a branch's levels, the last ones, in which its arrows grow."""
SUPERSAMPLE, POINTS = 4, 48
"""Supersampling of arrows, and the points along one."""
HEAD, HALF_HEAD = 4.4, 1.8
"""Length of an arrow's head and half its breadth, in strokes."""
SECONDS = 8.0
"""Duration of the growth."""
SLOWEST, FASTEST = 24.0, 60.0
"""Limits of the rate, in frames a second."""
AT_FIRST = 0.75
"""Seconds for which the root is held."""
