"""Checkpoints of all kinds, read as data and never executed; what is wrong with a bad one."""
