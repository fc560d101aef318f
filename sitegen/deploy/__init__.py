"""The built folder as GitHub Pages will serve it: `sitegen check` and `sitegen publish`.

It may know the build, to see whether a folder is what would be built now; it samples nothing.
"""
