"""Constants of the drawing of both processes; they are part of its key."""

WIDTHS = (640.0, 640), (440.0, 440)
"""Width of the wide and of the narrow sheet, in units, and as shown in CSS pixels."""
LEFT, RIGHT, GAP = 18.0, 66.0, 3.0
BAND = 15.0
LARGEST_TILE = 190.0
TITLE, NARROW_TITLE, SMALL = 20.0, 20.0, 17.0
"""Sizes of texts."""
MANY, NARROW_MANY = 8, 6
"""Maximum numbers of columns for all labels, and for a narrow sheet."""
SECOND_LINE = 24.0
"""Height of the second line of a narrow sheet's heading."""
UPPER_BAND, ROWS = 62.0, 96.0
FORWARD, INVERSE = "Forward process: heat dissipation", "Inverse process: generation"
"""Headings."""
JPEG_QUALITY = 82
"""Quality of pictures that are enlarged smoothly, 1 to 95."""
STYLE = """\
.pixels { image-rendering: pixelated; }
.band { fill: none; stroke: url(#flow); }
.above { stop-color: #757a8c; }
.below, .head { stop-color: #adb1c0; fill: #adb1c0; }
.rule { stroke: #1d2130; }
"""
DARK = """\
.above { stop-color: #8c92a8; }
.below, .head { stop-color: #565c74; fill: #565c74; }
.rule { stroke: #e4e7f1; }
"""
