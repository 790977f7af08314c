"""Measures what a fill of each shipped rung costs on one computing thread of this machine.

    python -m benchmarks.fill_rates

It prints the rates as `operators.decisions.budget.USUAL_RATES` holds them. The budget that holds
without `--budget-ms` is predicted from those, so that it is the same on every machine.
"""

from __future__ import annotations

from flows.engine.fill_rates import measure_rates
from flows.ladder import PRESETS, Rung


def main() -> None:
    """Measure and print."""
    models = dict.fromkeys(rung.model for rungs in PRESETS.values() for rung in rungs)
    for rate in measure_rates([Rung(model) for model in models]):
        print(f'Rate("{rate.rung}", {rate.region:.0f}, {rate.megapixel:.0f}),')


if __name__ == "__main__":
    main()
