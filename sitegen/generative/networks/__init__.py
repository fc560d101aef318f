"""The networks: the published U-Net, the small one for coarse levels, and those of diffusers.

They know their configurations in `card`, and torch.
"""
