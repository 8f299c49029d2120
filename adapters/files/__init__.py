"""Files other systems read: held to a schema, in pieces, or streamed."""
