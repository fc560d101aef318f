"""The kind `smoothness`: how even interpolations are, measured and drawn."""
