"""The database: reaching it, its tables and its own guards, the embedded server, who waits for whom."""
