"""People look at a run: they accept, reject or have redone what it has edited."""
