"""The kind `interpolation`: from one sample to another and back, beside DDPM and DDIM."""
