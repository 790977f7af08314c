"""A run's progress for Prometheus: gauges of the driver, given out by Ray beside the operators'
own counters.
"""

from __future__ import annotations

import time

from flows.telemetry.progress import Progress
from flows.telemetry.summary import Summary

EVERY_SECONDS = 1.0


class Gauges:
    """The driver's gauges. Ray must run."""

    def __init__(self) -> None:
        from ray.util.metrics import Gauge

        self._images = Gauge("cleanplate_run_images", "Images of the source: all (total), done, or by verdict.", ("state",))
        self._rates = Gauge("cleanplate_run_rate", "Over the last minute: images, or gigabytes of files, a second.", ("unit",))
        self._left = Gauge("cleanplate_run_seconds_left", "Estimated time to the end.")
        self._busy = Gauge("cleanplate_operator_busy", "Images that an operator worked on at a time.", ("operator",))
        self._share = Gauge("cleanplate_operator_busy_share", "Share of its workers' time, 0 to 1.", ("operator",))
        self._stage = Gauge(
            "cleanplate_stage_images", "Images that wait for a stage, or are at work in it.", ("stage", "state")
        )
        self._workers = Gauge("cleanplate_stage_workers", "Processes of a stage's pool.", ("stage",))
        self._told = 0.0

    def set(self, summary: Summary) -> None:
        """Tell how far the run is: once a second, and when all is done."""
        now = time.monotonic()
        if now - self._told >= EVERY_SECONDS or summary.before + summary.worked == summary.total:
            self._told = now
            self.show(summary.progress())

    def show(self, progress: Progress) -> None:
        """Set every gauge that is known."""
        self._images.set(progress.total, {"state": "total"})
        self._images.set(progress.done, {"state": "done"})
        for verdict, count in progress.verdicts.items():
            self._images.set(count, {"state": verdict})
        self._rates.set(progress.images_per_second, {"unit": "images"})
        self._rates.set(progress.gigabytes_per_second, {"unit": "gigabytes"})
        if progress.seconds_left is not None:
            self._left.set(progress.seconds_left)
        for one in progress.operators:
            self._busy.set(one.busy, {"operator": one.name})
            if one.share is not None:
                self._share.set(one.share, {"operator": one.name})
            if one.workers is not None:
                self._workers.set(one.workers, {"stage": one.stage})
            if one.queued is not None and one.at_work is not None:
                self._stage.set(one.queued, {"stage": one.stage, "state": "waiting"})
                self._stage.set(one.at_work, {"stage": one.stage, "state": "at work"})
