"""Documents and the manifest become the text of the pages: captions, heads, theme, social card.

Their look is in `templates/` and `static/`. It writes no file, and knows neither models nor the
store.
"""
