"""Training: loss, optimizers, saved state, and the recipe that makes a model folder.

It may import all of `generative`, and nothing of a site.
"""
