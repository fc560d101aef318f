"""The kinds of figures: what a page may ask of each, as frozen and validated values; no torch."""
