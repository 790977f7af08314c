"""The engine: runs flows on Ray Data, and is the only package that drives Ray."""
