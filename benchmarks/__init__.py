"""Benchmarks: the cost and the quality of the engine, the masks, the fills and the plan. `make
bench` runs them.
"""
