"""The plan: what a run will take, foretold from a sample."""
