"""The command line: one file per group of commands; no logic that a library user could not call."""
