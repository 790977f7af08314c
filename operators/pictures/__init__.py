"""Pictures: encoded bytes to pixels and back, in the source's own format."""
