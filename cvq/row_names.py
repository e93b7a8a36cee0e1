"""What a job of many items calls its table, the columns of that, and the numbers of its result."""

from __future__ import annotations

TABLE = "rows.parquet"  # what a job with a shard leaves
FEW = "rows.json"  # what one with several items leaves
# Columns of a row besides its answer.
NAME, NOTES, ERROR = "name", "notes", "error"
# Of a result: how many items have no answer; the rows, and in which file they are: without that,
# `rows` is a field of an answer.
FAILED, ROWS, ROWS_IN = "failed", "rows", "rows_in"
