"""A cluster that has lost more than it can spare: what Ray waits for in silence, a run waits for
only so long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cluster.profile import Profile
from flows.engine.session import alive_nodes
from flows.flow import Flow
from operators.rows.failure import RunError

SHORTAGE_SECONDS = 600.0
"""So long may the nodes that are left be too few: a machine that was taken away is replaced
meanwhile, or not at all.
"""
CHECK_SECONDS = 5.0


@dataclass
class NodeWatch:
    """Looks whether the nodes that are alive can still hold the flow."""

    flow: Flow
    profile: Profile
    patience: float = SHORTAGE_SECONDS
    _looked: float = float("-inf")
    _since: float | None = None

    def check(self) -> None:
        """Raise RunError nodes_lost, exit code 3, once the nodes have been too few for as long as
        there is patience.
        """
        now = time.monotonic()
        if now - self._looked < CHECK_SECONDS:
            return
        self._looked = now
        refusal = self.flow.refusal(self.profile, alive_nodes())
        if refusal is None:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self.patience:
            raise RunError("nodes_lost", f"{refusal}, for {now - self._since:.0f} s now; run again on more", 3)
