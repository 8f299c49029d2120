"""How figures, traces and documents are shown: as links, charts, pictures, tables and prints."""
