"""Taking over from the service before: what it knew is imported, so that it is recognised."""
