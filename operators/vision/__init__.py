"""Networks that look at pictures: the text detector, the stroke network, the image encoder."""
