"""The commands: their options, their help, and the call of what does the work.

What is slow to import is imported inside a command, so that help is quick.
"""
