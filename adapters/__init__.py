"""What speaks another system's language: usage files in; accounting systems and workbooks out."""
