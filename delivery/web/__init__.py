"""`delivery serve`: the HTTP API and the pages. It only reads, and knows nothing of the worker."""
