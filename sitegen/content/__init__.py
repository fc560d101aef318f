"""Pages in Markdown become documents, with the figures that they ask for, each with its place.

It may know the config, the site's models and what figures may be asked for; it renders and samples
nothing.
"""
