"""Constants of the chart of spectra; they are part of its key."""

PANEL = 324.0
"""Height."""
LINE = 20.0
"""Height of a line of the legend."""
NARROW = 38
"""Letters for which a line of the legend has room on a phone."""
LOWEST = 1e-9
"""Least power that is drawn."""
HEAT, NOISE = ("#69abdb", "#08306b"), ("#ee8a6c", "#7f0000")
HEAT_DARK, NOISE_DARK = ("#2d6794", "#b3dcff"), ("#93402c", "#ffc3b0")
"""First and last colour of the model's and of the baseline's curves, on light and dark pages."""
STYLE = ".data { stroke: #000; }\n.floor { stroke: #565c70; }\n"
DARK_STYLE = ".data { stroke: #fff; }\n.floor { stroke: #a3aac0; }\n"
DASHES, DOTS = "6 3", "1 3"
"""Dashes of the baseline's curves, and of the floor."""
TOLD = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 32.0, 64.0, 128.0)
"""Frequencies of the table, in cycles an image."""
