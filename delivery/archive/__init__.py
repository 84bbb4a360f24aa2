"""Whole months of the log leave the database: each becomes a file that is read back first."""
