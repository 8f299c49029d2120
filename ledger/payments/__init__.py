"""Payments: money that comes, moves and leaves, and what of it is the authority's."""
