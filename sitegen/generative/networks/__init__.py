"""Networks: the published U-Net, the small MLP for coarse levels, and adapters for diffusers.

They depend on torch and on their configurations in `card`.
"""
