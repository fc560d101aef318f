"""`sitegen serve`: the preview on this machine, which watches, builds and reloads."""
