"""One file per data set; found by the registry because it is here."""
