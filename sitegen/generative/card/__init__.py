"""Model cards (`model.toml`): defaults such as δ, network configurations, schedule and presets.

It imports neither torch nor other parts of `generative`.
"""
