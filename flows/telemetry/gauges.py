"""A run's progress for Prometheus: gauges that the driver sets and Ray exports."""

from __future__ import annotations

import time

from flows.telemetry.progress import Progress
from flows.telemetry.summary import Summary

EVERY_SECONDS = 1.0
"""The shortest time between two updates of the gauges."""


class Gauges:
    """The driver's gauges. Ray must be running."""

    def __init__(self) -> None:
        from ray.util.metrics import Gauge

        self._images = Gauge("cleanplate_run_images", "Images of the source: all (total), done, or by verdict.", ("state",))
        self._rates = Gauge("cleanplate_run_rate", "Images, or gigabytes of files, per second over the last minute.", ("unit",))
        self._left = Gauge("cleanplate_run_seconds_left", "Estimated seconds to the end of the run.")
        self._busy = Gauge("cleanplate_operator_busy", "Images that an operator processes at a time.", ("operator",))
        self._share = Gauge(
            "cleanplate_operator_busy_share", "Share of its workers' time that an operator is busy, 0 to 1.", ("operator",)
        )
        self._stage = Gauge(
            "cleanplate_stage_images", "Images that wait for a stage, or that it is processing.", ("stage", "state")
        )
        self._workers = Gauge("cleanplate_stage_workers", "Processes of a stage's pool.", ("stage",))
        self._updated = 0.0

    def set(self, summary: Summary) -> None:
        """Update the gauges, at most once per EVERY_SECONDS, and when the run is complete."""
        now = time.monotonic()
        if now - self._updated >= EVERY_SECONDS or summary.before + summary.worked == summary.total:
            self._updated = now
            self._set_all(summary.progress())

    def _set_all(self, progress: Progress) -> None:
        """Set every gauge whose value is known."""
        self._images.set(progress.total, {"state": "total"})
        self._images.set(progress.done, {"state": "done"})
        for verdict, count in progress.verdicts.items():
            self._images.set(count, {"state": verdict})
        self._rates.set(progress.images_per_second, {"unit": "images"})
        self._rates.set(progress.gigabytes_per_second, {"unit": "gigabytes"})
        if progress.seconds_left is not None:
            self._left.set(progress.seconds_left)
        for activity in progress.operators:
            self._busy.set(activity.busy, {"operator": activity.name})
            if activity.share is not None:
                self._share.set(activity.share, {"operator": activity.name})
            if activity.workers is not None:
                self._workers.set(activity.workers, {"stage": activity.stage})
            if activity.queued is not None and activity.at_work is not None:
                self._stage.set(activity.queued, {"stage": activity.stage, "state": "waiting"})
                self._stage.set(activity.at_work, {"stage": activity.stage, "state": "at work"})
