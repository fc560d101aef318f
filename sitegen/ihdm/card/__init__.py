"""The card of a model (`model.toml`): its defaults, networks, schedule and presets; no torch."""
