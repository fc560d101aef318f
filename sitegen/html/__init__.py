"""Rendering of documents and the manifest to HTML pages: captions, heads, theme.

Templates are in `templates/`, styles and scripts in `static/`. This package writes no pages and
imports neither models nor the store.
"""
