"""Stop a run whose cluster has lost too many nodes.

Ray itself would wait silently and without limit for nodes to come back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cluster.profile import Profile
from flows.engine.session import alive_nodes
from flows.flow import Flow
from operators.rows.failure import RunError

SHORTAGE_SECONDS = 600.0
"""How long the cluster may be too small before the run stops.

A machine that was taken away is replaced within this time, or not at all.
"""
CHECK_SECONDS = 5.0
"""How often the nodes are checked, at most."""


@dataclass
class NodeWatch:
    """Checks whether the flow still fits the living nodes."""

    flow: Flow
    profile: Profile
    patience: float = SHORTAGE_SECONDS
    """Seconds that the nodes may be too few."""
    _checked: float = float("-inf")
    """When the nodes were last checked; times are of the monotonic clock, in seconds."""
    _short_since: float | None = None
    """When a check first found them too few; None if the last one found enough."""

    def check(self) -> None:
        """Raise RunError if the nodes are too few for longer than `patience`.

        The code is nodes_lost, the exit code 3.
        """
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        refusal = self.flow.refusal(self.profile, alive_nodes())
        if refusal is None:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        elif now - self._short_since >= self.patience:
            seconds = now - self._short_since
            raise RunError("nodes_lost", f"{refusal}, for {seconds:.0f} s now; run again on more nodes", 3)
