"""Upscalers behind one interface, with seamless tiles and a guard that limits added detail."""
