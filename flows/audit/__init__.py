"""The audit: measure what images lose at each boundary of the pipeline."""
