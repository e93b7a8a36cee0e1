"""Data sets as tensors, split into parts and cached."""
