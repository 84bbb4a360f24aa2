"""The worker: one loop, one thread, one member of the group."""
