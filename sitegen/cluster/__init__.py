"""Sampling by the workers of a dask cluster: on many GPUs, on many machines, or in processes here.

Only these modules import dask, and only when a build asks for a cluster.
"""
