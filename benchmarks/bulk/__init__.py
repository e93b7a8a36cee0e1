"""Small jobs in bulk, against plain Celery and against the bare model."""
