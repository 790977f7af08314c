"""Networks that look at pictures: the text detector and what confirms it, the recogniser, the
stroke network, the image encoder.
"""
