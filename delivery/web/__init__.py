"""`delivery serve`: the HTTP API and the pages. They only read, but for `acting`."""
