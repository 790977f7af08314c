"""Models: cards, weights, where they come from, and how a process holds them."""
