"""Terms: what was promised, what changed it, and what that makes of every day."""
