"""Figures for Prometheus: what is asked of the database at a scrape, and what is said of it."""
