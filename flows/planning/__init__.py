"""Planning: estimate the time, cost and resources of a run from a sample."""
