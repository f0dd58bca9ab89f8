"""Where every number comes from: records of the runs, the commands that repeat them, and all of it as one file."""
