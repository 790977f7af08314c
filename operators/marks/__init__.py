"""Known marks: their files, where they lie in a picture, and what a whole collection carries."""
