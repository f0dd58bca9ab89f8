"""Checks that every method, data set and metric must pass: public, for authors of plugins."""
