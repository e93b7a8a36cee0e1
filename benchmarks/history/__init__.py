"""A history of a million jobs: what it costs to ask it, and to keep it."""
