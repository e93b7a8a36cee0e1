"""The statements that change the life of jobs, attempts and workers, and the serving order."""
