"""A model of the site, loaded on a device, and what is drawn from it; what `sitegen sample` writes.

Torch is imported here and in a kind's `sample`, and nowhere else outside `ihdm`.
"""
