"""One module a command: its options, its help, and the call of what does it."""
