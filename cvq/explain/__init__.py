"""Why a job waits, runs long or failed, and what to do about it."""
