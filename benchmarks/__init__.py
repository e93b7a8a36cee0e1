"""The figures of the documentation, each a command that prints them."""
