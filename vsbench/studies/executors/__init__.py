"""What trains the rows of a study: processes of this machine, or a cluster's jobs."""
