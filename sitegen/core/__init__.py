"""Shared foundations: errors, diagnostics with file and line, durable files, text, URLs, signals.

This is the lowest layer. It imports nothing else of sitegen.
"""
