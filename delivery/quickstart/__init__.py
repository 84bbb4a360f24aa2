"""The records that `delivery quickstart` publishes."""
