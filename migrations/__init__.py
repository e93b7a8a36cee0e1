"""Alembic environment and versions, found as `cvq_migrations:` wherever cvq is installed."""
