"""Checkpoints of all kinds, read as data and never executed; what is wrong with a bad one.

They know cards, networks and models; telling what a file is needs no torch, loading it does.
"""
