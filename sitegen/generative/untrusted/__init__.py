"""Bounded readers for untrusted files: zip directories, NumPy arrays, pickles, gzip.

Every reader checks sizes before it allocates memory, accepts numbers only, and runs no code of the
file. They read checkpoints, data sets and recordings; each raises RefusedError.
"""
