"""Sources of triplets."""
