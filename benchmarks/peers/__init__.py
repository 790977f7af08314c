"""Compares cleanplate with other tools on the same work. `make bench-peers` runs it."""
