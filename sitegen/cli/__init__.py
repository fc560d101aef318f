"""Command line: parses arguments, calls one function, and maps errors to exit codes.

It may import everything, and nothing may import it.
"""
