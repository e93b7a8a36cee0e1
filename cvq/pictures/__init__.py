"""Picture files: opened safely, bounded in size, and decoded in the one way that all share."""
