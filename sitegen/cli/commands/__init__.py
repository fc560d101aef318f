"""Commands: their options, their help, and the call of the function that does the work.

Modules that are slow to import are imported inside a command, so that --help is quick.
"""
