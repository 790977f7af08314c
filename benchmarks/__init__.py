"""Benchmarks: what the engine, the masks, the fills and the plan cost and give. `make bench` runs
them.
"""
