"""What a run reports while it works: progress, metrics and logs."""
