"""Checkpoints of all kinds, read as data and never executed, with clear errors for bad ones.

Inspecting a file needs no torch; loading it does.
"""
