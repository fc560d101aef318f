"""Constants that affect the bytes of figures, in groups; this package imports nothing else.

A figure's key contains the groups that its kind uses (`sitegen.figures.look`), so a changed value
changes the key. Constants that affect no byte of a figure do not belong here.
"""
