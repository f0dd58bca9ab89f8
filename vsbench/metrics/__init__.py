"""One file per metric family; private modules start with an underscore."""
