"""Processes: the model, and the reverse processes of IHDM, DDPM and DDIM.

These modules use cards, networks and `maths`, but no files.
"""
