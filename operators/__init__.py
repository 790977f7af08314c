"""The steps an image takes, one operator per file; the pipeline reads in the order of the
README's table.

Nothing here knows of Ray, of a cluster or of the command line: an operator maps an Arrow table to
an Arrow table.
"""
