"""How models are made that `sitegen train` alone does not make: one module a step of a recipe."""
