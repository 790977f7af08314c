"""Where a flow runs: resource profiles and what else a cluster needs to know. Knows nothing of
operators.
"""
