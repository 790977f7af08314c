"""Measurements of pictures and edits, each with its meaning, range and source.

The decisions based on them are in `operators.decisions`.
"""
