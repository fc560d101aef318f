"""The mathematics of processes: random numbers, and blurs and noises of levels."""
