"""What is decided, and from what: records, events, and what becomes of each. Pure: no I/O."""
