"""What is trained, and what is done with it."""
