"""Training images, data sets, and the prior of flat states that sampling starts from.

These modules use cards and the heat equation, but no network.
"""
