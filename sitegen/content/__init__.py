"""Parsing of Markdown pages into documents, with the figures that they call, in order.

This package may import the config, the site's models and the figure kinds. It renders and samples
nothing.
"""
