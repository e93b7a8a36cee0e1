"""A storm of kills over a cluster of its own: `python -m benchmarks.storm` tells of it.

plan      jobs and acts, drawn from a seed
cluster   the workers, Redis and database that are blown at
kind      the jobs, which count their effects in a ledger outside
items     the small jobs, which are answered many at a time by a loaded model
submit    who submits and cancels them meanwhile
batches   who submits the items
blow      the acts
warm      who answers them
ledger    the judgement of the ledger against the history, pure functions
answers   the judgement of the items, as pure
records   the history as the judgement reads it
report    what is printed
"""
