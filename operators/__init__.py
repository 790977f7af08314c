"""The steps an image goes through, one operator per file, in the order of the README's table.

An operator maps an Arrow table to an Arrow table. Nothing in this package depends on Ray, on a
cluster or on the command line.
"""
