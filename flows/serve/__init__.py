"""The service: one picture at a time over HTTP, by the flows of the command line."""
