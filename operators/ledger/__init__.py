"""The ledger and the index: which images there are, and what became of each one."""
