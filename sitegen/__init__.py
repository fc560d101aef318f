"""sitegen: from trained checkpoints of an image model to the website of its paper."""
