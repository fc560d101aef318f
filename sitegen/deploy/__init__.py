"""The built folder as GitHub Pages will serve it: `sitegen check` and `sitegen publish`.

It may use the build, to find out whether a folder is up to date; it samples nothing.
"""
