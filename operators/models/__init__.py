"""Models: their cards, their weights, where both come from, and how a process loads them."""
