"""A line of the log is one JSON object; end_to_end/test_observability.py sees workers write it."""

from __future__ import annotations

import json
import logging

from flows.telemetry.log import JsonLines


def line(event: str, /, **fields: object) -> str:
    record = logging.LogRecord("cleanplate", logging.WARNING, "", 0, event, None, None)
    record.created, record.fields = 1_795_000_000.1234, fields
    return JsonLines().format(record)


def test_a_line_holds_time_level_event_and_the_fields() -> None:
    assert json.loads(line("image_failed", run="1f", image="ab")) == {
        "time": "2026-11-18T11:06:40.123+00:00",
        "level": "WARNING",
        "event": "image_failed",
        "run": "1f",
        "image": "ab",
    }


def test_whatever_a_message_holds_it_stays_one_line() -> None:
    text = line("image_failed", message='two\nlines, "quotes", \u2028 and ü')
    assert "\n" not in text and "\u2028" not in text
    assert json.loads(text)["message"] == 'two\nlines, "quotes", \u2028 and ü'


def test_a_record_without_fields_is_a_line_too() -> None:
    record = logging.LogRecord("cleanplate", logging.INFO, "", 0, "started", None, None)
    assert json.loads(JsonLines().format(record))["event"] == "started"
