"""The database: reaching it, its tables and its own guards, the embedded server.

And who waits for whom.
"""
