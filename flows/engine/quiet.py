"""What Ray says about workers that end is kept from the terminal: a run recovers from it and tells what it could not mend."""

from __future__ import annotations


def keep_ray_quiet() -> None:
    """Print nothing of what the cluster publishes about lost workers, restarted actors and retried tasks.

    Ray prints that whatever its log levels and `log_to_driver` say; its own log files keep it.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda data, ignore_prefix: None
