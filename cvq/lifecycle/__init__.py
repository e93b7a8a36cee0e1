"""Every statement that changes a job's life.

Each function takes the connection first and is one step inside the caller's transaction. A worker
writes as an attempt, (job, attempt); the write is refused once that attempt is not the running
one. `cvq.queries` has the statements that only read.
"""
