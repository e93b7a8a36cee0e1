"""The files that jobs are given: pictures, data sets, models of other jobs, pipelines."""
