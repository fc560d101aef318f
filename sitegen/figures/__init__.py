"""What a page may ask for: a folder a kind, with what may be asked, how it is sampled and drawn.

`registry` lists the kinds; the other modules are what several of them share. What a page may ask
for needs no torch; `clips`, `paths` and each `sample` do. They may know models, sampling and media,
and no page.
"""
