"""`sitegen serve`: the preview on this machine, which watches, builds and reloads.

It may know all that a build knows, and nothing of publishing.
"""
