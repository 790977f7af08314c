"""The calls of a run to one model over HTTP, for its last line and its run.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from operators.generators.call_account import CallLimits, Totals, are_spent
from operators.rows.counted import counted
from operators.rows.records import JsonObject


@dataclass(frozen=True)
class Calls:
    """The calls of all attempts at a run to one model."""

    alias: str
    totals: Totals
    limits: CallLimits

    def line(self) -> str:
        """Their number and cost in words, and whether the run may make no more."""
        cost = f", cost {self.totals.cost:.4g}" if self.totals.cost else ""
        line = f"{counted(self.totals.calls, 'call')} of {self.alias}{cost}"
        if not are_spent(self.totals, self.limits):
            return line
        most_cost = None if self.limits.most_cost is None else f"--max-cost {self.limits.most_cost:g}"
        limits = [f"--max-calls {self.limits.most_calls}" if self.limits.most_calls is not None else None, most_cost]
        return f"{line}: the budget is spent ({', '.join(filter(None, limits))})"

    def record(self) -> JsonObject:
        """The counts and the limits, as run.json has them."""
        return {**self.totals.record(), "limits": asdict(self.limits)}
