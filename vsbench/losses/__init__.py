"""Losses that more than one method uses, or that others will want to call: pure functions."""
