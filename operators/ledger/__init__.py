"""The index and the ledger: the images of a run, and the result of each one."""
