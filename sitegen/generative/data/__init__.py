"""Training images, data sets, and the prior of flat states that sampling starts from.

They know cards and the heat equation, and no network.
"""
