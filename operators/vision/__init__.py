"""Networks that look at a picture: the text detector, the stroke network and the image encoder."""
