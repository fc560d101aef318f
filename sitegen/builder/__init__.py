"""The build: plan and keys, the cache (store), rendering what is missing, and the finished folder.

It joins all stages below; commands call it.
"""
