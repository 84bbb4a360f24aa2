"""Time as people have it: their zone, and the words that they use for a moment."""
