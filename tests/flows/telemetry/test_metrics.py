"""The amounts that a batch adds to the metrics.

end_to_end/test_observability.py sees Ray and Prometheus keep them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flows.telemetry import metrics
from operators.rows.schema import SCHEMA, complete_rows

TIMING = {"model": 0.0, "codec": 0.0, "io": 0.0}


def table(*rows: dict[str, Any]) -> pa.Table:
    return complete_rows(pa.Table.from_pylist(list(rows), pa.schema([SCHEMA.field(name) for name in rows[0]])))


def timed(*names: str) -> list[dict[str, Any]]:
    return [{"operator": name, "total": float(number), **TIMING} for number, name in enumerate(names)]


def check(rung: str, name: str) -> dict[str, Any]:
    return {"rung": rung, "name": name, "value": 0.0, "limit": 1.0, "passed": True}


def test_only_what_this_batch_has_timed_is_counted_though_an_operator_may_come_twice() -> None:
    before = table({"timings": timed("fetch", "verify")}, {"timings": timed("fetch")})
    after = table({"timings": timed("fetch", "verify", "verify")}, {"timings": timed("fetch", "verify", "compose")})
    assert [timing["operator"] for timing in metrics._new_timings(before, after)] == ["verify", "verify", "compose"]


def test_rows_that_come_without_timings_are_timed_from_their_first_operator_on() -> None:
    before = table({"timings": None})
    assert [timing["operator"] for timing in metrics._new_timings(before, table({"timings": timed("fetch")}))] == ["fetch"]
    assert list(metrics._new_timings(before, before)) == []


def test_the_last_fill_of_an_erased_region_is_accepted_and_all_others_are_refused() -> None:
    checks = [check("patchmatch", "seam"), check("patchmatch", "seam"), check("telea", "seam")]
    regions = [{"checks": checks, "state": "erased"}, {"checks": checks, "state": "refused"}, {"checks": [], "state": "kept"}]
    fills = metrics._count_fills(table({"regions": regions}, {"regions": None}))
    assert fills == {("patchmatch", "refused"): 4, ("telea", "accepted"): 1, ("telea", "refused"): 1}


def test_texts_are_counted_by_their_end_and_rows_without_any_add_nothing() -> None:
    texts = [{"found": 5, "erased": 3, "kept": 2, "refused": 0}, {"found": 1, "erased": 0, "kept": 1, "refused": 0}, None]
    counted = metrics._count_texts(table(*({"texts": counts} for counts in texts)))
    assert counted == {("erased",): 3, ("refused",): 0, ("kept",): 3}


def test_written_bytes_are_those_of_the_edited_file_or_of_the_source_if_it_was_delivered() -> None:
    before = table(
        {"bytes": b"12345", "encoded": b"123"},
        {"bytes": b"12345", "encoded": None},
        {"bytes": b"12345", "encoded": b"1"},
        {"bytes": None, "encoded": None},
    )
    uris: list[dict[str, Any]] = [{"output_uri": "a"}, {"output_uri": "b"}, {"output_uri": None}, {"output_uri": "copied"}]
    assert metrics._count_written(before, table(*uris)) == 3 + 5
    assert metrics._count_bytes(before, "bytes") == 15
    assert metrics._count_bytes(table({"bytes": None}), "bytes") == 0


def test_a_fill_that_ended_with_an_error_is_failed_and_not_refused() -> None:
    error = {"rung": "builtin", "name": "fill_failed", "value": 1.0, "limit": 0.0, "passed": False}
    rows = table({"regions": [{"state": "erased", "checks": [error, check("telea", "seam")]}]})
    assert metrics._count_fills(rows) == {("builtin", "failed"): 1, ("telea", "accepted"): 1}
