"""The engine: the only room that drives Ray."""
