"""Tables and figures from evaluated runs."""
