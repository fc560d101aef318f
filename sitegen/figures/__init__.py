"""Figures that a page can call: one folder per kind, with its arguments, sampling and drawing.

`registry` lists the kinds; the other modules are shared by several kinds. Checking a call needs no
torch; `clips`, `paths` and each `sample` do. They may import models, sampling and media, but not
pages.
"""
