"""Generators: what regenerates the picture behind a region.

`generator` is the interface, `catalogue` finds the generator of a model card, and `microbatch`
runs any generator over many regions. A model is data: a card and a folder. Only a new family is
code.
"""
