"""What is wrong with a data set: leaks between splits, doubles, blanks, pairs that don't fit, slides that drift."""
