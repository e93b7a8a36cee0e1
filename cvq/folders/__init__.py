"""Folders as inputs of jobs: which files belong to one, packed as a tar, and unpacked safely."""
