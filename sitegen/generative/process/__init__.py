"""The mathematics: heat, noise, the model, and the reverse processes of IHDM, DDPM and DDIM.

These modules use cards and networks, but no files.
"""
