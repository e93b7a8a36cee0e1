"""Pictures in a terminal: half blocks and signs by ourselves, pixels through a library."""
