"""The server: connections, threads, places and patience."""
