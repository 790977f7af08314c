"""File formats that are edited, one module each: pixels out of a file, and edited pixels into a
copy of that file.
"""
