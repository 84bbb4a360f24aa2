"""The HTTP API: what became of records, as JSON."""
