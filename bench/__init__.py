"""Benchmarks: how good the samples are, and what a build costs."""
