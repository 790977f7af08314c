"""Upscalers behind one interface, and what keeps any of them honest: tiles without seams, and a
guard per band.
"""
