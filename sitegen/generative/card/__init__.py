"""The card of a model (`model.toml`): defaults as δ, networks, schedule and presets.

It knows no torch, and nothing else of `ihdm`.
"""
