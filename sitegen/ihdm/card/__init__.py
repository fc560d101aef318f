"""The card of a model (`model.toml`): defaults as δ, networks, schedule and presets; no torch."""
