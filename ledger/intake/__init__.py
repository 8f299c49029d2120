"""Every kind of document comes in here: parsed, checked, posted and written in batches."""
