"""Alembic migrations: the books from an empty database, and the way from each schema to the next."""
