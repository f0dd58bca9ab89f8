"""What vsbench writes about its runs: one typed, versioned model for each kind of file, checked whenever it is read."""
