"""The build: plan and keys, the store, rendering of missing figures, and the finished folder.

It uses all earlier stages; commands call it.
"""
