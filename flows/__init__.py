"""Flows: which operators run, in which order and with which settings; and the command line."""
