"""The faces people use: command line, HTTP API and pages."""
