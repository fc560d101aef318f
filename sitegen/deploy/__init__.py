"""The built folder as GitHub Pages will serve it: `sitegen check` and `sitegen publish`."""
