"""The networks: the published U-Net, the small one for coarse levels, and those of diffusers."""
