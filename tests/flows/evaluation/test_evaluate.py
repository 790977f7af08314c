"""An evaluation measures every fill and every delivered image of a suite reproducibly, and reports
them on two pages.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from font_roboto import RobotoBold
from PIL import Image
from skimage import data

from flows.evaluation.draw_text import Caption, draw, polygon_around
from flows.evaluation.evaluate import ROBUSTNESS_EVERY, Options, evaluate
from flows.evaluation.report import data_uri, figure, write_reports
from flows.evaluation.suite import Entry, Suite, load
from flows.evaluation.tables import PLACES, RUNG_FIGURES, drift_warnings, failure_table, refusal_table, rung_table
from flows.ladder import Rung

if TYPE_CHECKING:
    from tests.fixtures.chromium import FitsPhone

RUNGS = ("telea", "patchmatch")
Content = dict[str, Any]


def users_suite(folder: Path, count: int = 3, truth: bool = True) -> Suite:
    """Up to three small pictures with one text each."""
    pictures = (
        ("flat", "report", np.full((120, 200, 3), 205, np.uint8)),
        ("photo", "tune", np.ascontiguousarray(data.coffee()[150:270, 200:400])),
        ("photo", "report", np.ascontiguousarray(data.astronaut()[60:180, 20:220])),
    )
    entries = []
    for part in ("images", "truth") if truth else ("images",):
        (folder / part).mkdir(parents=True)
    for number, (bucket, chosen, clean) in enumerate(pictures[:count]):
        picture, coverage = draw(clean, Caption("SALE 20", RobotoBold, 32, colour=(200, 20, 30)))
        file = f"{number}.png"
        Image.fromarray(picture).save(folder / "images" / file)
        if truth:
            Image.fromarray(clean).save(folder / "truth" / file)
        entries.append(asdict(Entry(file, chosen, bucket, "", [polygon_around(coverage)])))
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": entries}))
    return load(folder)


@dataclass(frozen=True)
class Evaluated:
    """A suite, the folder of its evaluation, and the content that `evaluate` returned."""

    suite: Suite
    out: Path
    content: Content

    @property
    def bytes(self) -> bytes:
        return (self.out / "evaluation.json").read_bytes()

    @property
    def timings(self) -> dict[str, dict[str, float]]:
        return dict(json.loads((self.out / "timings.json").read_text()))


def evaluated(suite: Suite, out: Path, options: Options) -> Evaluated:
    content = evaluate(suite, out, options)
    write_reports(suite, out)
    return Evaluated(suite, out, content)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    root = tmp_path_factory.mktemp("evaluated")
    return evaluated(
        users_suite(root / "suite"), root / "out", Options(tuple(Rung(name) for name in RUNGS), seed=7, seeds=2, processes=1)
    )


@pytest.fixture(scope="module")
def without_truth(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    root = tmp_path_factory.mktemp("without")
    suite = users_suite(root / "suite", count=1, truth=False)
    return evaluated(suite, root / "out", Options((Rung("telea"),), seeds=1))


class Page(HTMLParser):
    """A page's tags, and the addresses in its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in {"src", "srcset", "href", "data", "action"}]


@pytest.fixture(scope="module")
def html(done: Evaluated) -> str:
    return (done.out / "report.html").read_text()


def test_the_same_seed_gives_the_same_evaluation_to_the_last_byte_on_any_number_of_processes(
    done: Evaluated, tmp_path: Path
) -> None:
    evaluate(done.suite, tmp_path, Options(tuple(Rung(name) for name in RUNGS), seed=7, seeds=2, processes=2))
    assert (tmp_path / "evaluation.json").read_bytes() == done.bytes


def test_what_is_written_is_what_is_given_back_and_json_that_any_reader_takes(done: Evaluated) -> None:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(done.bytes, parse_constant=refuse) == done.content


def test_the_evaluation_says_of_which_suite_with_which_settings(done: Evaluated) -> None:
    content = done.content
    assert content["suite"] == {"name": "mine", "checksum": done.suite.checksum, "images": 3}
    assert (content["rungs"], content["seed"], content["seeds"]) == (["telea", "patchmatch"], 7, 2)
    assert content["calibration"].keys() == {"suite", "suite_checksum", "date", "bad_error"}
    assert len(content["settings"]) == 14


def test_every_text_is_filled_by_every_rung_and_every_figure_is_there(done: Evaluated) -> None:
    fills = done.content["fills"]
    assert [(fill["file"], fill["rung"]) for fill in fills] == [(f"{n}.png", rung) for n in range(3) for rung in RUNGS]
    for fill in fills:
        assert set(RUNG_FIGURES) <= fill["figures"].keys()
        assert fill["place"].keys() >= {*PLACES, "border"}


TRIED_AGAIN = {f"{number}.png" for number in range(0, 3, ROBUSTNESS_EVERY)}
"""The pictures that are also filled on worse masks and by other seeds."""


def test_some_pictures_are_filled_on_worse_masks_too(done: Evaluated) -> None:
    for record in done.content["fills"]:
        assert ("perturbed" in record) == (record["file"] in TRIED_AGAIN)
        if "perturbed" in record:
            assert record["perturbed"].keys() == {"shifted", "grown", "noisy"}
            assert all(distance >= 0 for distance in record["perturbed"].values())


def test_only_random_rungs_have_a_deviation_across_seeds(done: Evaluated) -> None:
    for record in done.content["fills"]:
        varies = record["rung"] == "patchmatch" and record["file"] in TRIED_AGAIN
        for name in ("pixel_deviation", "seed_deviation", "variance_picture"):
            assert (name in record) == varies
        if varies:
            assert (done.out / "variance" / record["variance_picture"]).is_file()


def test_on_a_flat_picture_the_fill_is_the_truth_and_nothing_is_read(done: Evaluated) -> None:
    image = done.content["images"][0]
    assert image["verdict"] == "edited"
    assert image["texts"][0]["perceptual_distance"] < 0.02
    assert image["texts"][0]["psnr"] > 40
    assert image["texts"][0]["characters_read"] == 0
    assert image["eraseness"] == {"precision": 0.0, "recall": 0.0, "f": 0.0, "recall_before": 1.0}


def test_on_a_flat_picture_the_fill_is_accepted_by_every_part_of_the_rule(done: Evaluated) -> None:
    image = done.content["images"][0]
    assert (image["accepted"], image["refusal"], image["outcome"], image["outside"]) == (True, None, "accepted", 0.0)
    text = image["texts"][0]
    assert (text["accepted"], text["refusal"], text["wrongly_refused"]) == (True, None, None)
    assert text["characters_left"] == 0
    assert text["signal_left"] < 0.05
    assert text["flat_error"] < 4
    assert text["stain"] < 4


def test_every_image_is_kept_as_it_was_delivered(done: Evaluated) -> None:
    for image, entry in zip(done.content["images"], done.suite.entries, strict=True):
        source = np.asarray(Image.open(done.suite.image(entry)))
        shown = np.asarray(Image.open(done.out / "images" / image["picture"]))
        assert shown.shape == source.shape
        assert np.array_equal(shown, source) == (image["verdict"] != "edited")


def test_time_is_kept_apart_from_the_figures(done: Evaluated) -> None:
    assert list(done.timings) == ["0.png", "1.png", "2.png"]
    assert all({"fetch", "detect", "soften", "verify", "compose"} <= spent.keys() for spent in done.timings.values())
    assert b"timing" not in done.bytes


def test_a_suite_without_truth_has_the_figures_that_need_none(without_truth: Evaluated) -> None:
    (image,), (fill,) = without_truth.content["images"], without_truth.content["fills"]
    assert fill["figures"].keys() == {"seam", "colour_shift", "band_0", "band_1", "band_2", "band_3"}
    assert not {"texts", "accepted", "refusal", "outcome", "outside"} & image.keys()
    assert "figures" not in image
    assert image["eraseness"]["recall_before"] == 1.0
    assert failure_table(without_truth.content) == []
    page = Page((without_truth.out / "report.html").read_text())
    assert page.tags.count("svg") == 8
    assert all(address.startswith("data:image/") for address in page.addresses)


def test_the_page_is_one_file_without_any_outside_reference(html: str) -> None:
    page = Page(html)
    assert not re.search(r"https?://|//cdn|@import|url\(", html)
    assert not {"link", "iframe", "object", "base", "embed"} & set(page.tags)
    assert page.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)


def test_the_page_fits_a_phone(done: Evaluated, assert_fits_phone: FitsPhone) -> None:
    assert_fits_phone(done.out / "report.html")


def test_the_page_shows_a_chart_for_every_kind_of_figure(html: str) -> None:
    charts = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    titles = [chart.findtext("text") or "" for chart in charts]
    assert len(charts) == 8
    for word in ("Quality", "Legibility", "Continuity", "Naturalness", "Robustness", "Failure rates", "Latency"):
        assert any(title.startswith(word) for title in titles), word
    assert all(chart.findall("rect") for chart in charts if not (chart.findtext("text") or "").startswith("Legibility"))


def test_the_page_shows_every_picture_before_after_and_clean(html: str) -> None:
    for kind in ("before", "after", "truth"):
        assert html.count(f'alt="{kind}"') == 3
    assert html.count('alt="variance"') == len(TRIED_AGAIN)


def tables_of(markdown: str) -> dict[str, list[list[str]]]:
    """A page's tables by heading; each row is a list of cells."""
    tables: dict[str, list[list[str]]] = {}
    for line in markdown.splitlines():
        if line.startswith("## "):
            rows = tables[line[3:]] = []
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return tables


def test_the_markdown_page_holds_the_tables_with_their_figures(done: Evaluated) -> None:
    text = (done.out / "report.md").read_text()
    assert text.startswith(f"# Evaluation on mine\n\n3 images, suite {done.suite.checksum}, seed 7.\n")
    tables = tables_of(text)
    reasons = [f"Why pictures are refused, set {name}" for name in ("tune", "report") if refusal_table(done.content, name)]
    assert [heading for heading in tables if heading.startswith("Why")] == reasons
    assert [heading for heading in tables if not heading.startswith("Why")] == [
        "Accepted by the eye, set tune",
        "Accepted by the eye, set report",
        "Delivered by the whole flow, set tune",
        "Delivered by the whole flow, set report",
        "Each rung by itself, set tune",
        "Each rung by itself, set report",
        "Worse masks, and other seeds",
        "How often a fill is bad, by place",
        "Milliseconds an image",
    ]
    for heading, ruler, *rows in tables.values():
        assert set(ruler) == {"---"}
        assert rows
        assert all(len(row) == len(heading) == len(ruler) for row in rows)
    heading, _, *rows = tables["Each rung by itself, set report"]
    expected = rung_table(done.content, "report")
    assert heading == list(expected[0])
    assert rows == [[figure(value) for value in row.values()] for row in expected]


@pytest.mark.usefixtures("calibrated_on")
def test_the_pages_carry_the_warnings(done: Evaluated, tmp_path: Path) -> None:
    for name in ("evaluation.json", "timings.json"):
        (tmp_path / name).write_bytes((done.out / name).read_bytes())
    page = write_reports(done.suite, tmp_path)
    warnings = drift_warnings(done.content)
    assert warnings
    for warning in warnings:
        assert f'<p class="warning">{warning}</p>' in page.read_text()
        assert f"- Warning: {warning}\n" in (tmp_path / "report.md").read_text()


FIGURES = {0.12345: "0.123", 1234.6: "1235", 12: "12", "photo": "photo", None: "-", True: "True", 99.0: "99"}


@pytest.mark.parametrize(("value", "shown"), FIGURES.items())
def test_a_figure_is_shown_with_three_digits(value: Any, shown: str) -> None:
    assert figure(value) == shown


def test_what_could_not_be_measured_is_shown_as_a_dash() -> None:
    assert figure(math.nan) == "-"


def test_a_picture_is_shown_small_and_a_missing_one_not_at_all(done: Evaluated, tmp_path: Path) -> None:
    assert data_uri(done.out / "images" / "0.png").startswith("data:image/jpeg;base64,")
    assert data_uri(tmp_path / "none.png") == ""
