"""`sitegen serve`: the local preview, which watches, builds and reloads.

This package may import everything that a build imports, but not the publishing code.
"""
