"""Many items on a model that stays loaded. It knows no worker, no database and no broker.

runner.py     items to answers: decoded in threads, batched, halved where one fails
loading.py    the runner of a job's kind and specification
bulk.py       a job whose items are answered by a runner, from its items to its result
table.py      the table of their answers, a Parquet file
spill.py      answers that wait, in memory or on disk
stopwatch.py  how long something was under way, in several threads
"""
