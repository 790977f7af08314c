"""Reports as HTML pages, and the figures, charts and pictures on them."""
