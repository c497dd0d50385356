"""Reading and writing by index, and joining."""
