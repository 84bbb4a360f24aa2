"""The inbox: a batch of records becomes rows, in one transaction."""
