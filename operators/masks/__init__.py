"""Masks: polygon geometry, the four channels of a mask, and the masks of strokes."""
