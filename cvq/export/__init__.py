"""The history for other tools: JSON lines, TensorBoard's event files, MLflow.

Each takes jobs one by one, so that memory does not grow with the history, and may be asked again:
what it has written is written over or left, and never doubled.
"""
