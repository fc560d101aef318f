"""The command line: what is typed is parsed, one function is called, errors become exit codes.

It may know everything, and nothing may know it.
"""
