"""The audit: what is lost at each boundary of the pipeline."""
