"""Models of a site: registry, `sitegen add`, new cards, priors, and the front end of training.

It may import core, `generative` and config; it imports torch only to run a network.
"""
