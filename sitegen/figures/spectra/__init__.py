"""The kind `spectra`: power over frequency along the generation."""
