"""The kind `hierarchy`: a tree that grows out of one flat state, and where it splits."""
