"""Alembic migrations: the database as it was at every release, and the way from each to the next."""
