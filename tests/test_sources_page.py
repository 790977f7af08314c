"""The page on sources names every limit with its default, and every reason for leaving out."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from operators.pictures.codec import Limits
from operators.rows.failure import CODES
from operators.storage.left_out import REASONS

PAGE = (Path(__file__).parents[1] / "docs" / "sources.md").read_text()
UNITS = {"MiB": 1024**2}


def test_the_page_has_every_limit_with_its_default_and_what_is_delivered_beyond_it() -> None:
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([\d,]+) ?(MiB)?[^|]*\| `(\w+)`, (not )?delivered", PAGE, re.MULTILINE)
    stated = {name.replace("-", "_"): int(number.replace(",", "")) * UNITS.get(unit, 1) for name, number, unit, _, _ in rows}
    assert stated == {field.name: field.default for field in fields(Limits) if field.name != "pages"}
    for _, _, _, code, refused in rows:
        assert CODES[code].delivered == (not refused)


def test_the_page_has_every_reason_for_leaving_out() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE) == list(REASONS)
