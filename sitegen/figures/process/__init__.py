"""The kind `process`: heat melts an image above, a model makes a new one below."""
