"""Journal entries in the formats of accounting systems and audit tools, a module a system."""
