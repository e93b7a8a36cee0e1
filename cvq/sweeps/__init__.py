"""Sweeps: one kind of job tried with many values of its parameters, as a group of jobs."""
