"""Clients of accounting systems: what an export holds is made there, each object once."""
