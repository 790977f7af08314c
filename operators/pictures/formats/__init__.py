"""File formats that are edited, one module each.

The module of a format has three functions, whose contract is in
`operators.pictures.codec.Format`: `header` and `decode` read a file, and `encode` puts edited
pixels into a copy of it.
"""
