"""Drawings in SVG: typeface, sizes and colours."""

FEATURES = ("tnum",)
"""OpenType features of the typeface that a drawing keeps, beside those that are on by default."""
CHARTS = (480.0, 540), (344.0, 440)
"""Width of a chart and of a narrow one, in units, and as shown in CSS pixels."""
FAR = 20.0
"""Largest distance of a value from a panel at which it is drawn, in sizes of the panel."""
PANEL_ID = "panel"
TITLE_SIZE, TICK_SIZE = 14.0, 13.0
"""Sizes of texts in a chart."""
STYLE = """\
:root { color-scheme: light dark; }
text { font-family: "Sitegen Text", "Segoe UI", system-ui, Helvetica, Arial, sans-serif; }
.ink { fill: #1d2130; }
.soft { fill: #565c70; }
.frame { stroke: #8b90a3; fill: none; }
.grid { stroke: #d9dce6; fill: none; }
"""
"""Fonts, and the colours of the theme on light pages."""
DARK_STYLE = """\
.ink { fill: #e4e7f1; }
.soft { fill: #a3aac0; }
.frame { stroke: #777e96; }
.grid { stroke: #2e3447; }
"""
"""Colours of the theme on dark pages."""
