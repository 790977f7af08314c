"""Object storage: reading, writing, retrying and listing, for folders and buckets alike."""
