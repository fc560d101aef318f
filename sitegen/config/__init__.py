"""`site.toml`: read into a frozen `Site` with every mistake told at once, edited, explained, begun.

It may know core and the cards of models.
"""
