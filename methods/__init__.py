"""One file per method; found by the registry because it is here."""
