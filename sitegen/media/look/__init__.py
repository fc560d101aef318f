"""Constants that decide the bytes of figures, in groups; nothing here is imported but the modules.

A figure's key holds the groups that its kind uses (`sitegen.figures.look`), so a changed value is a
new key. A constant that decides no byte of a figure does not belong here.
"""
