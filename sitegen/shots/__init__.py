"""The shots: how each kind of figure is sampled and drawn. They need torch."""
