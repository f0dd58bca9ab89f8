"""Studies: a whole comparison from one file, on one machine or a cluster."""
