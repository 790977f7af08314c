"""Measurements, apart from any decision made with them: what each number means, its range and its
source.
"""
