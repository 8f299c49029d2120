"""Tracing: from any number to the documents it comes from, and to what became of it."""
