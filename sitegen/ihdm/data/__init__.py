"""Training images, data sets, and the prior of flat states that sampling starts from."""
