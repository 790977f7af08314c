"""An evaluation measures every fill and every delivered image of a suite, the same every time,
and says so on two pages.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from font_roboto import RobotoBold
from PIL import Image
from skimage import data

from flows.evaluation import evaluate as module
from flows.evaluation.calibrate import write_calibration
from flows.evaluation.default_suite import polygon_round
from flows.evaluation.draw_text import Caption, draw
from flows.evaluation.evaluate import Options, evaluate
from flows.evaluation.report import data_uri, figure, write_reports
from flows.evaluation.suite import Entry, Suite, load
from flows.evaluation.tables import (
    RUNG_FIGURES,
    by,
    delivered_table,
    drift_warnings,
    failure_table,
    latency_table,
    mean,
    robustness_table,
    rung_table,
    verdicts,
    wilson,
)
from flows.ladder import Rung
from operators.decisions import gate

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
        entries.append(asdict(Entry(file, chosen, bucket, "", [polygon_round(coverage)])))
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": entries}))
    return load(folder)


@dataclass(frozen=True)
class Evaluated:
    """A suite, the folder of its evaluation, and the content that `evaluate` gave back."""

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
    """A page's tags and what its attributes point to."""

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
    assert content["calibration"].keys() == {"suite", "suite_checksum", "date", "bad_perceptual_distance"}
    assert len(content["settings"]) == 9


def test_every_text_is_filled_by_every_rung_and_every_figure_is_there(done: Evaluated) -> None:
    fills = done.content["fills"]
    assert [(fill["file"], fill["rung"]) for fill in fills] == [(f"{n}.png", rung) for n in range(3) for rung in RUNGS]
    for fill in fills:
        assert set(RUNG_FIGURES) <= fill["figures"].keys()
        assert fill["place"].keys() >= {*module.PLACES, "border"}


TRIED_AGAIN = {f"{number}.png" for number in range(0, 3, module.ROBUSTNESS_EVERY)}
"""The pictures that are filled on worse masks and by other seeds too."""


def test_some_pictures_are_filled_on_worse_masks_too(done: Evaluated) -> None:
    for one in done.content["fills"]:
        assert ("perturbed" in one) == (one["file"] in TRIED_AGAIN)
        if "perturbed" in one:
            assert one["perturbed"].keys() == {"shifted", "grown", "noisy"}
            assert all(distance >= 0 for distance in one["perturbed"].values())


def test_only_random_rungs_have_a_deviation_across_seeds(done: Evaluated) -> None:
    for one in done.content["fills"]:
        varies = one["rung"] == "patchmatch" and one["file"] in TRIED_AGAIN
        for name in ("pixel_deviation", "seed_deviation", "variance_picture"):
            assert (name in one) == varies
        if varies:
            assert (done.out / "variance" / one["variance_picture"]).is_file()


def test_on_a_flat_picture_the_fill_is_the_truth_and_nothing_is_read(done: Evaluated) -> None:
    image = done.content["images"][0]
    assert image["verdict"] == "edited"
    assert image["texts"][0]["perceptual_distance"] < 0.02
    assert image["texts"][0]["psnr"] > 40
    assert image["texts"][0]["characters_read"] == 0
    assert image["eraseness"] == {"precision": 0.0, "recall": 0.0, "f": 0.0, "recall_before": 1.0}


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
    assert "texts" not in image
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
    """The tables of a page by their heading, each row its cells."""
    found: dict[str, list[list[str]]] = {}
    for line in markdown.splitlines():
        if line.startswith("## "):
            rows = found[line[3:]] = []
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_the_markdown_page_holds_the_tables_with_their_figures(done: Evaluated) -> None:
    text = (done.out / "report.md").read_text()
    assert text.startswith(f"# Evaluation on mine\n\n3 images, suite {done.suite.checksum}, seed 7.\n")
    tables = tables_of(text)
    assert list(tables) == [
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


WILSON = {
    (5, 10): (0.5, 0.2366, 0.7634),
    (1, 4): (0.25, 0.0456, 0.6994),
    (0, 10): (0.0, 0.0, 0.2775),
    (10, 10): (1.0, 0.7225, 1.0),
    (81, 263): (0.3080, 0.2553, 0.3662),
}


@pytest.mark.parametrize(("counts", "expected"), WILSON.items())
def test_a_rate_has_its_wilson_interval(counts: tuple[int, int], expected: tuple[float, float, float]) -> None:
    assert wilson(*counts) == pytest.approx(expected, abs=6e-5)


def test_a_rate_of_nothing_is_unknown() -> None:
    assert all(math.isnan(value) for value in wilson(0, 0))


def test_a_mean_is_of_the_values_that_are_numbers() -> None:
    assert mean([1.0, None, 3.0, math.nan, math.inf]) == 2.0
    assert math.isnan(mean([]))
    assert math.isnan(mean([None, math.nan]))


def test_groups_keep_the_order_of_their_first_members() -> None:
    records = [{"k": "b", "n": 1}, {"k": "a", "n": 2}, {"k": "b", "n": 3}]
    assert by(records, lambda record: record["k"]) == {"b": [records[0], records[2]], "a": [records[1]]}


def fill(number: int, rung: str = "telea", **more: Any) -> dict[str, Any]:
    """A fill whose distance and whose every place is its number."""
    place = {**dict.fromkeys(module.PLACES, float(number)), "border": False}
    return {
        "file": f"{number}.png",
        "set": "report",
        "bucket": "photo",
        "rung": rung,
        "place": place,
        "figures": {"perceptual_distance": number / 100},
        **more,
    }


def content_of(fills: list[dict[str, Any]], images: list[dict[str, Any]] | None = None) -> Content:
    return {
        "calibration": {"bad_perceptual_distance": 0.06},
        "fills": fills,
        "images": images or [],
        "rungs": sorted({one["rung"] for one in fills}),
    }


def test_failure_rates_are_cut_at_the_terciles_of_every_place() -> None:
    table = failure_table(content_of([fill(number) for number in range(1, 10)]))
    rows = {row["place"]: row for row in table}
    for place in module.PLACES:
        low, middle, high = (row for name, row in rows.items() if name.startswith(f"{place} "))
        assert [row["fills"] for row in (low, middle, high)] == [3, 3, 3]
        assert [row["bad"] for row in (low, middle, high)] == [0.0, 0.0, 1.0]
        assert (high["low"], high["high"]) == pytest.approx(wilson(3, 3)[1:])
    assert rows["text inside"]["fills"] == 9
    assert rows["text inside"]["bad"] == pytest.approx(3 / 9)
    assert "text at the border" not in rows


def test_failure_rates_are_counted_for_each_rung_and_at_the_border() -> None:
    fills = [fill(number, rung) for number in (1, 9) for rung in RUNGS]
    fills[0]["place"]["border"] = True
    fills[3]["figures"] = {"perceptual_distance": None}
    rows = {(row["place"], row["rung"]): (row["fills"], row["bad"]) for row in failure_table(content_of(fills))}
    assert rows["text at the border", "telea"] == (1, 0.0)
    assert rows["text inside", "telea"] == (1, 1.0)
    assert rows["text inside", "patchmatch"] == (1, 0.0)


def test_jpeg_sources_are_counted_apart() -> None:
    fills = [{**fill(number), "file": file} for number, file in ((1, "a.jpg"), (9, "b.JPEG"), (1, "c.png"))]
    rows = {row["place"]: (row["fills"], row["bad"]) for row in failure_table(content_of(fills))}
    assert rows["JPEG source"] == (2, 0.5)
    assert rows["lossless source"] == (1, 0.0)


def test_a_place_that_is_the_same_everywhere_has_one_row() -> None:
    fills = [fill(number) for number in range(1, 10)]
    for one in fills:
        one["place"]["count"] = 1
    rows = [row for row in failure_table(content_of(fills)) if row["place"].startswith("count ")]
    assert [(row["place"], row["fills"]) for row in rows] == [("count up to 1", 9)]


def test_latencies_are_percentiles_per_operator_and_of_the_whole_image() -> None:
    timings = {f"{number}.png": {"detect": float(number), "write": 1.0} for number in range(1, 101)}
    rows = {row["operator"]: row for row in latency_table(timings)}
    assert list(rows) == ["detect", "write", "image"]
    assert (rows["detect"]["p50"], rows["detect"]["p95"], rows["detect"]["p99"]) == pytest.approx((50.5, 95.05, 99.01))
    assert (rows["image"]["p50"], rows["image"]["p95"], rows["image"]["p99"]) == pytest.approx((51.5, 96.05, 100.01))
    assert (rows["write"]["p50"], rows["write"]["p99"]) == (1.0, 1.0)
    assert rows["detect"]["share"] == pytest.approx(5050 / 5150)
    assert rows["detect"]["share"] + rows["write"]["share"] == pytest.approx(rows["image"]["share"]) == 1.0


def test_an_operator_that_few_images_met_has_the_percentiles_of_those() -> None:
    rows = {row["operator"]: row for row in latency_table({"a": {"detect": 2.0}, "b": {"detect": 2.0, "fill": 6.0}})}
    assert rows["fill"]["p50"] == 6.0
    assert rows["fill"]["share"] == pytest.approx(0.6)
    assert latency_table({}) == []


def test_the_table_of_rungs_is_the_mean_over_all_and_over_every_bucket() -> None:
    fills = [fill(2), fill(4), fill(9, bucket="page"), fill(50, set="tune")]
    rows = rung_table(content_of(fills), "report")
    assert [(row["bucket"], row["rung"], row["fills"]) for row in rows] == [
        ("all", "telea", 3),
        ("photo", "telea", 2),
        ("page", "telea", 1),
    ]
    assert [row["perceptual_distance"] for row in rows] == pytest.approx([0.05, 0.03, 0.09])
    assert math.isnan(rows[0]["psnr"])


def test_the_table_of_deliveries_counts_verdicts_and_tells_edited_texts_from_all() -> None:
    def image(verdict: str, distance: float, bucket: str) -> dict[str, Any]:
        text = {"perceptual_distance": distance, "psnr": 30.0, "characters_read": 2}
        return {"set": "report", "bucket": bucket, "verdict": verdict, "texts": [text], "fills": 1}

    images = [image("edited", 0.1, "photo"), image("rolled_back", 0.5, "photo"), image("untouched", 0.3, "page")]
    images[0]["eraseness"] = {"recall": 0.0, "recall_before": 1.0}
    content = content_of([], images)
    everything, photo, page = delivered_table(content, "report")
    assert (everything["images"], everything["edited"], everything["rolled_back"], everything["untouched"]) == (3, 1, 1, 1)
    assert everything["perceptual_distance"] == pytest.approx(0.3)
    assert photo["edited_distance"] == everything["edited_distance"] == 0.1
    assert (photo["recall"], photo["recall_before"], photo["fills"]) == (0.0, 1.0, 2)
    assert math.isnan(page["edited_distance"])
    assert verdicts(content) == {"edited": 1, "rolled_back": 1, "untouched": 1}
    assert delivered_table(content, "tune")[0]["images"] == 0


def test_the_table_of_robustness_sets_worse_masks_beside_the_mask_as_it_is() -> None:
    fills = [
        fill(2, perturbed={"shifted": 0.03, "grown": 0.05}, seed_deviation=0.01),
        fill(4, perturbed={"shifted": 0.05, "grown": None}),
        fill(6, rung="patchmatch"),
    ]
    telea, patchmatch = robustness_table(content_of(fills))
    assert (telea["as found"], telea["shifted"], telea["grown"]) == pytest.approx((0.03, 0.04, 0.05))
    assert telea["seed_deviation"] == 0.01
    assert patchmatch.keys() == {"rung", "as found", "seed_deviation", "pixel_deviation"}


@pytest.fixture
def calibrated_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration file that has seen middling places only, filled by telea."""
    path = tmp_path / "gate.json"
    inputs = {name: [10.0, 50.0, 90.0] for name in ("mask_area", "stroke_thickness", "texture", "brightness")}
    write_calibration({"suite": "mine", "inputs": inputs, "rungs": {"telea": {}}}, path)
    monkeypatch.setattr("flows.reports.drift.calibration", lambda: gate.calibration(path))


@pytest.mark.usefixtures("calibrated_on")
def test_places_outside_the_calibrated_range_are_warned_of_by_name() -> None:
    fills = [fill(number) for number in (20, 50, 80)]
    assert drift_warnings(content_of(fills)) == []
    for one, brightness in zip(fills, (5.0, 95.0, 50.0), strict=True):
        one["place"]["brightness"] = brightness
    (warning,) = drift_warnings(content_of(fills))
    assert warning == "brightness: 67% of the places lie outside the calibrated range 10 to 90"


@pytest.mark.usefixtures("calibrated_on")
def test_a_quarter_of_the_places_outside_is_no_drift_yet() -> None:
    fills = [fill(number) for number in (20, 30, 40, 99)]
    assert drift_warnings(content_of(fills)) == []
    assert len(drift_warnings(content_of(fills[1:]))) == 4


@pytest.mark.usefixtures("calibrated_on")
def test_a_rung_that_was_never_calibrated_is_warned_of() -> None:
    assert drift_warnings(content_of([fill(50, "crayon")])) == ["rung crayon has no calibrated gate"]


@pytest.mark.usefixtures("calibrated_on")
def test_the_pages_carry_the_warnings(done: Evaluated, tmp_path: Path) -> None:
    for name in ("evaluation.json", "timings.json"):
        (tmp_path / name).write_bytes((done.out / name).read_bytes())
    page = write_reports(done.suite, tmp_path)
    warnings = drift_warnings(done.content)
    assert any("calibrated range" in warning for warning in warnings)
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
