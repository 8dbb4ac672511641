"""Where triplets come from."""
