"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""
