"""Warm slots: a process that keeps models loaded, and the micro-batches that it answers."""
