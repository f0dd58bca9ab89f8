"""Training and translation."""
