"""Bounded readers for files from other people: zip directories, NumPy arrays, pickles, gzip.

Every reader checks sizes before it allocates memory, accepts numbers only, and runs no code of the
file. Checkpoints, datasets and recordings are read with these; each raises RefusedError.
"""
