"""Product logic: which operators, in which order, with which settings; and the command line."""
