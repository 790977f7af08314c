"""The same work by other tools, compared with cleanplate. `make bench-peers` runs it."""
