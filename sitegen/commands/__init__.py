"""The commands, a module each: options, help, and one call."""
