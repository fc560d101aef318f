"""`site.toml`: parsing into a frozen `Site` with all errors at once, editing, reference, scaffold.

It imports only core and the model cards.
"""
