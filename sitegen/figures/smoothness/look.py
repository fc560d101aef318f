"""Constants of the chart of smoothness; they are part of its key."""

LEFT, RIGHT = 66.0, 16.0
ROW, HEAD, FOOT, LINE = 44.0, 34.0, 52.0, 17.0
STYLE = """\
.model-0 { fill: #08519c; stroke: #08519c; }
.model-1 { fill: #c2401c; stroke: #c2401c; }
.model-2 { fill: #8a6100; stroke: #8a6100; }
circle.dot { stroke: none; fill-opacity: 0.45; }
path.bar { fill: none; }
"""
DARK = """\
.model-0 { fill: #8cc4ff; stroke: #8cc4ff; }
.model-1 { fill: #ff9a7a; stroke: #ff9a7a; }
.model-2 { fill: #e6bb53; stroke: #e6bb53; }
"""
KEY = "a dot is a pair; ◆ median, 95 % interval"
PEAK, TORTUOSITY = "Largest step / mean step", "Length of the way / distance of the ends"
BEST = {PEAK: "1 is perfectly even", TORTUOSITY: "1 is the straight way"}
RESAMPLES = 10_000
"""Resamples of the bootstrap."""
