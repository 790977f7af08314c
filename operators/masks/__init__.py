"""Masks: geometry, the four channels, and the masks of strokes."""
