"""Clips of recordings."""

GIF_FILTER = "lutrgb=" + ":".join(f"{each}='bitor(bitand(val,248),4)'" for each in "rgb") + ","
"""Filter that rounds colours to 5 bits, without which a palette of coloured noise takes minutes.

Clips of models keep all colours, since their stored files have them.
"""
GIF_SHARE = 0.8
"""Share of the largest size that the next GIF should have if one is too large. It is low, since
the size of GIFs of noise falls more slowly than their number of frames."""
PRESET = "faster"
"""Preset of x264; "medium" takes twice as long for noise."""
