"""The mathematics: heat, noise, the model, and the reverse processes of IHDM, DDPM and DDIM.

They know cards and networks, and no file.
"""
