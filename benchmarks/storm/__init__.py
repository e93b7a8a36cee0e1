"""A storm of kills over a cluster of its own: `python -m benchmarks.storm` tells of it.

plan      jobs and acts, drawn from a seed
cluster   the workers, Redis and database that are blown at
kind      the jobs, which count their effects in a ledger outside
submit    who submits and cancels them meanwhile
blow      the acts
ledger    the judgement of the ledger against the history, pure functions
records   the history as the judgement reads it
report    what is printed
"""
