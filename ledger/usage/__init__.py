"""Usage: read, drawn on grants, given back, and billed."""
