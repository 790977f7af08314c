"""Telemetry: what a run reports while it works, as progress, metrics and logs."""
