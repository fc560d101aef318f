"""Training: loss, optimizers, saved state, and the recipe that makes a model folder.

It may know all of `ihdm`, and nothing of a site.
"""
