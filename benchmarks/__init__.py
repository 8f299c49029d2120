"""How fast the books are, against what PostgreSQL itself can do: `make bench`, `make bench QUICK=1`."""
