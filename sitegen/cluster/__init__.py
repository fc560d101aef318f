"""Sampling on the workers of a dask cluster: on several GPUs, machines or local processes.

Only these modules import dask, and only for builds that use a cluster.
"""
