"""Whether a job gives the same again: what it was made from and by, and what came of it."""
