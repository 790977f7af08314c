"""Decisions: which rung fills a region first, what a fill may cost, and whether it is good."""
