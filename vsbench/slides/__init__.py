"""Whole slides: reading, tissue, pyramids, and translation as a stream."""
