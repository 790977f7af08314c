"""What a run reports when it ends: the page, and the figures on it."""
