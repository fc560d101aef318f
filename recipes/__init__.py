"""Recipes for models that `sitegen train` alone does not make: one module for each step."""
