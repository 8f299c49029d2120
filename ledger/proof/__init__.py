"""What proves the books: seals, what must always hold, verification, backups."""
