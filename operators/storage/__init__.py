"""Object storage: reading, writing, retrying and listing, the same for a folder and for a bucket."""
