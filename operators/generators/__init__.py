"""Generators regenerate the picture behind a region.

`generator` defines the interface, `catalogue` finds the generator for a model card, and
`microbatch` runs any generator over many regions. A new model needs data only, a card and a
folder; a new family needs code.
"""
