"""Dead letters, and what people do with them."""
