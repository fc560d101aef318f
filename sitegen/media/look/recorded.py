"""Clips of recordings."""

GIF_FILTER = "lutrgb=" + ":".join(f"{each}='bitor(bitand(val,248),4)'" for each in "rgb") + ","
"""Filter that rounds colours to 5 bits, without which a palette of coloured noise takes minutes.

Clips of models keep all colours, since their stored files have them.
"""
