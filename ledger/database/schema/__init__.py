"""The tables, declared for SQLAlchemy Core so that queries are built from names that exist."""
