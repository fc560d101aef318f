"""What a page may ask for: a folder a kind, with what may be asked, how it is sampled and drawn.

`registry` lists the kinds; the other modules are what several of them share. A `spec` needs no
torch, a `sample` does.
"""
