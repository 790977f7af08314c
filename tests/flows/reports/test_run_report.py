"""The report is one page that needs nothing else: no network, no neighbours, no script."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from flows.reports.digest import NEEDS_A_LOOK, SHOWN, Digest, margin_used
from flows.reports.run_report import THUMBNAIL, write_report
from operators.ledger import ledger

if TYPE_CHECKING:
    from tests.fixtures.chromium import FitsPhone
    from tests.fixtures.ray import Finished


ADDRESSES = {"src", "srcset", "href", "data", "action"}


class Page(HTMLParser):
    """A page's addresses, tags, tables by their heading, and picture captions."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.tags: Counter[str] = Counter()
        self.rows: dict[str, list[list[str]]] = {}
        self.headings: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [
            (name, value or "") for name, value in attributes if name in {"src", "href", "data", "action", "srcset"}
        ]
        if tag == "h2":
            self.headings.append("")
        if tag == "tr":
            self.rows.setdefault(self.headings[-1], []).append([])
        if tag in {"td", "th"}:
            self.rows[self.headings[-1]][-1].append("")
        if tag not in {"meta", "img", "br", "input"}:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, text: str) -> None:
        if "h2" in self._inside:
            self.headings[-1] += text
        if "td" in self._inside or "th" in self._inside:
            self.rows[self.headings[-1]][-1][-1] += text.strip()

    @property
    def pictures(self) -> list[str]:
        return [value for name, value in self.addresses if name == "src"]


@pytest.fixture(scope="module")
def text(finished: Finished) -> str:
    return (finished.dest / "report.html").read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_is_self_contained(text: str, page: Page) -> None:
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert not {"link", "iframe", "object", "base"} & set(page.tags)
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.pictures)
    assert "<script>" in text and "<script src" not in text


def test_the_page_says_how_many_images_from_where_with_which_settings(text: str, finished: Finished) -> None:
    assert f"<h1>5 images from <code>{finished.source}</code></h1>" in text.replace("\n", "")
    assert "seed 0, profile laptop (fused)" in text


def test_the_page_counts_verdicts_as_the_ledger_does(page: Page, finished: Finished) -> None:
    counts = Counter(ledger.read(str(finished.dest))["verdict"].to_pylist())
    assert {row[0]: int(row[1]) for row in page.rows["Verdicts"]} == counts
    for verdict, _, share in page.rows["Verdicts"]:
        assert share == f"{100 * counts[verdict] / 5:.1f} %"


def test_the_page_counts_texts_by_their_end_as_the_ledger_does(page: Page, finished: Finished) -> None:
    counts = [row["texts"] for row in ledger.read(str(finished.dest)).to_pylist()]
    sums = {end: sum(texts[end] for texts in counts) for end in ("found", "erased", "refused", "kept")}
    assert sums["erased"] > 0
    assert page.rows["Texts"] == [[end, str(count)] for end, count in sums.items() if count]


def test_the_page_counts_failures_by_code(page: Page) -> None:
    assert page.rows["Failures and skips by code"] == [["not_an_image", "1"]]


def test_the_page_gives_percentiles_for_every_operator_and_the_whole_image(page: Page, finished: Finished) -> None:
    heading, *rows = page.rows["Milliseconds per image"]
    assert heading[1:5] == ["images", "P50", "P95", "P99"]
    operators = {row[0] for row in rows}
    assert {"fetch", "detect", "soften", "inpaint_patchmatch", "verify", "compose", "write", "image"} <= operators
    spent = [
        sum(timing["total"] for timing in row["timings"] if timing["operator"] == "detect")
        for row in ledger.read(str(finished.dest)).to_pylist()
    ]
    (detect,) = [row for row in rows if row[0] == "detect"]
    assert detect[1:5] == ["5", *(f"{np.percentile(spent, share):.1f}" for share in (50, 95, 99))]


def test_the_page_shows_worst_cases_and_random_edits_before_and_after(page: Page, finished: Finished) -> None:
    edited = sum(row["verdict"] == "edited" for row in ledger.read(str(finished.dest)).to_pylist())
    assert {"Worst cases", "Random edits"} <= set(page.headings)
    assert edited > 0
    assert len(page.pictures) == 2 * 2 * min(edited, SHOWN)
    sizes = []
    for address in page.pictures:
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        assert max(picture.size) <= THUMBNAIL
        sizes.append(picture.size)
    assert set(sizes) == {(320, 240)}
    assert page.pictures[0] != page.pictures[1]


def test_sources_that_are_gone_cost_the_page_their_picture_only(finished: Finished, tmp_path: Path) -> None:
    dest = Path(shutil.copytree(finished.dest, tmp_path / "out"))
    before = len(Page((dest / "report.html").read_text()).pictures)
    hidden = finished.source.with_name("away")
    finished.source.rename(hidden)
    try:
        assert write_report(str(dest)) == str(dest / "report.html")
    finally:
        hidden.rename(finished.source)
    assert len(Page((dest / "report.html").read_text()).pictures) == before // 2


def test_the_table_of_images_links_their_files_those_that_need_a_look_first(page: Page, finished: Finished) -> None:
    _, *rows = page.rows["Images"]
    ledger_rows = {row["path"]: row for row in ledger.read(str(finished.dest)).to_pylist()}
    assert sorted(row[0] for row in rows) == sorted(ledger_rows)
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), key=NEEDS_A_LOOK.index)
    links = [value for name, value in page.addresses if name == "href"]
    for path, row in ledger_rows.items():
        assert Path(row["uri"]).as_uri() in links
        assert (f"images/{path}" in links) == (row["verdict"] != "failed")
    assert rows[0][0] == "broken.jpg" and rows[0][-1].startswith("not_an_image: ")


def test_a_run_over_nothing_says_so(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((finished.dest / "run.json").read_bytes())
    write_report(str(tmp_path))
    assert "There are no images in this run." in (tmp_path / "report.html").read_text()


def test_names_are_escaped(finished: Finished, tmp_path: Path) -> None:
    dest = Path(shutil.copytree(finished.dest, tmp_path / "out"))
    run = dest / "run.json"
    run.write_text(run.read_text().replace(f'"source": "{finished.source}"', '"source": "<script>alert(1)</script>"'))
    write_report(str(dest))
    written = (dest / "report.html").read_text()
    assert "<script>alert" not in written
    assert "&lt;script&gt;alert(1)" in written


def image_row(path: str = "a.png", verdict: str = "untouched", **milliseconds: float) -> dict[str, Any]:
    timings = [{"operator": name.rstrip("_"), "total": value} for name, value in milliseconds.items()]
    return {
        "path": path,
        "uri": f"/in/{path}",
        "output_uri": None,
        "verdict": verdict,
        "failure": None,
        "reasons": None,
        "texts": None,
        "regions": None,
        "timings": timings,
    }


def digest_of(images: Iterable[dict[str, Any]]) -> Digest:
    digest = Digest()
    for image in images:
        digest.add(image)
    return digest


def test_latencies_add_up_an_operator_that_ran_twice_on_one_image() -> None:
    images = [image_row(detect=10, verify=1, verify_=2), image_row(detect=30, verify=5)]
    rows = digest_of(images).latencies.percentiles()
    by_operator = {row["operator"]: row for row in rows}
    assert set(by_operator) == {"detect", "verify", "image"}
    assert (by_operator["verify"]["images"], by_operator["verify"]["p50"]) == (2, 4.0)
    assert by_operator["image"]["p50"] == (13 + 35) / 2
    assert by_operator["detect"]["share"] == 40 / 48
    assert by_operator["image"]["share"] == 1.0


def check(value: float, limit: float, rung: str = "telea", passed: bool = True) -> dict[str, object]:
    return {"rung": rung, "name": "seam", "value": value, "limit": limit, "passed": passed}


@pytest.mark.parametrize(
    ("state", "checks", "expected"),
    [
        ("erased", [check(1, 2), check(15, 20)], 0.75),
        ("erased", [check(3, 2, "patchmatch", False), check(1, 4)], 0.25),
        ("erased", [check(float("nan"), 2), check(0, 0)], 0.0),
        ("refused", [check(1, 2)], 0.0),
    ],
    ids=["largest-share", "only-the-rung-that-was-accepted", "not-measured", "refused"],
)
def test_closeness_is_the_largest_share_of_a_limit_that_delivered_edits_used(
    state: str, checks: list[dict[str, object]], expected: float
) -> None:
    assert margin_used({"regions": [{"state": state, "rung": "telea", "checks": checks}]}) == expected


def test_an_image_without_regions_is_not_close_to_any_limit() -> None:
    assert margin_used({"regions": None}) == 0.0


def test_the_images_shown_are_few_and_the_same_in_whatever_order_the_rows_come() -> None:
    images = [image_row(f"{number:03d}.png", "edited") for number in range(100)]
    one, other = digest_of(images), digest_of(reversed(images))
    assert [image["path"] for image in one.worst.images()] == [f"{number:03d}.png" for number in range(SHOWN)]
    drawn = [image["path"] for image in one.sample.images()]
    assert drawn == [image["path"] for image in other.sample.images()]
    assert len(set(drawn)) == SHOWN
    assert drawn != sorted(drawn)


def test_what_was_not_edited_is_not_shown() -> None:
    images = [image_row("a.png", "rolled_back"), image_row("b.png", "edited"), image_row("c.png", "partly_edited")]
    digest = digest_of(images)
    assert sorted(image["path"] for image in digest.sample.images()) == ["b.png", "c.png"]
    assert digest.verdicts == {"rolled_back": 1, "edited": 1, "partly_edited": 1}


def test_the_page_fits_a_phone(finished: Finished, assert_fits_phone: FitsPhone) -> None:
    assert_fits_phone(finished.dest / "report.html")


def test_errors_of_fills_are_told_from_refusals() -> None:
    row = image_row("a.png", "edited")
    checks = [
        {"rung": "builtin", "name": "fill_failed", "value": 1.0, "limit": 0.0, "passed": False},
        {"rung": "telea", "name": "seam", "value": 3.0, "limit": 2.0, "passed": False},
    ]
    reasons = ["fill_failed builtin: out_of_memory: too large"]
    digest = digest_of([{**row, "reasons": reasons, "regions": [{"state": "refused", "rung": "telea", "checks": checks}]}])
    assert digest.rollbacks == {"telea: seam": 1}
    assert digest.fills.lines() == ["every fill of builtin failed (1 of 1): out_of_memory: too large"]
