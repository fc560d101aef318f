"""Training: loss, optimizers, saved state, and the recipe that makes a model folder."""
