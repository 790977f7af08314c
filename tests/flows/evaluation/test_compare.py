"""The comparison of two evaluations finds a small bucket that got worse, whatever happens to the
mean over everything.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flows.cli import app as cli
from flows.evaluation.compare import NOTICEABLE, Change, compare, observations, read, worst_images
from flows.evaluation.comparison_report import write_comparison

if TYPE_CHECKING:
    from tests.fixtures.chromium import FitsPhone

BUCKETS = {"photo": 40, "texture": 20, "low light": 8}
Content = dict[str, Any]


def evaluation() -> Content:
    """An evaluation of 68 pictures with one text each, filled by two rungs."""
    generator = np.random.default_rng(3)
    fills, images = [], []
    for bucket, count in BUCKETS.items():
        for number in range(count):
            file = f"{bucket}-{number}.png"
            item = {"file": file, "set": "report", "bucket": bucket}
            for rung in ("telea", "patchmatch"):
                figures = {
                    "perceptual_distance": float(generator.uniform(0.1, 0.3)),
                    "psnr": float(generator.uniform(25, 40)),
                    "seam": float(generator.uniform(0.9, 1.2)),
                    "colour_shift": float(generator.uniform(1, 6)),
                    "characters_read": 0,
                }
                fills.append({**item, "region": 0, "rung": rung, "figures": figures})
            text = {"perceptual_distance": float(generator.uniform(0.1, 0.3)), "psnr": 30.0, "characters_read": 0}
            images.append({**item, "verdict": "edited", "texts": [text]})
    return {"suite": {"name": "mine", "checksum": "0123456789abcdef", "images": 68}, "fills": fills, "images": images}


def changed(content: Content, figure: str, by_bucket: dict[str, float]) -> Content:
    """The evaluation with one figure of every fill and text changed, by an amount per bucket."""
    content = copy.deepcopy(content)
    for item in (*content["fills"], *content["images"]):
        for figures in [item["figures"]] if "figures" in item else item["texts"]:
            if figure in figures:
                figures[figure] += by_bucket.get(item["bucket"], 0)
    return content


def regressions(first: Content, second: Content) -> list[Change]:
    return [change for change in compare(first, second) if change.regression]


@pytest.fixture(scope="module")
def before() -> Content:
    return evaluation()


@pytest.fixture(scope="module")
def planted(before: Content) -> Content:
    """8 pictures are worse by 0.05, all others better by the same amount."""
    return changed(before, "perceptual_distance", {"photo": -0.05, "texture": -0.05, "low light": 0.05})


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Content], Path]:
    """Writes an evaluation to a folder as `cleanplate evaluate` does."""

    def save_evaluation(name: str, content: Content) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").write_text(json.dumps(content))
        return tmp_path / name

    return save_evaluation


@pytest.fixture
def compare_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`cleanplate compare`: its exit code, standard output and standard error."""

    def call(*folders: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cleanplate", "compare", *map(str, folders)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def test_identical_evaluations_differ_by_exactly_nothing(before: Content) -> None:
    changes = compare(before, copy.deepcopy(before))
    assert changes
    assert {(change.difference, change.low, change.high) for change in changes} == {(0.0, 0.0, 0.0)}
    assert not any(change.regression for change in changes)


def test_every_figure_of_every_rung_is_compared_overall_and_per_bucket(before: Content) -> None:
    found = {(change.bucket, change.rung, change.figure) for change in compare(before, before)}
    of_fills = {(bucket, rung, name) for bucket in ("all", *BUCKETS) for rung in ("telea", "patchmatch") for name in NOTICEABLE}
    of_texts = {
        (b, "delivered", name) for b in ("all", *BUCKETS) for name in ("perceptual_distance", "psnr", "characters_read")
    }
    assert found == of_fills | of_texts


def test_the_pairs_of_a_bucket_are_its_items(before: Content) -> None:
    for change in compare(before, before):
        assert change.pairs == {"all": 68, **BUCKETS}[change.bucket]


def test_a_small_bucket_that_got_worse_is_found_while_the_mean_over_all_improves(before: Content, planted: Content) -> None:
    overall = [
        change for change in compare(before, planted) if change.bucket == "all" and change.figure == "perceptual_distance"
    ]
    assert len(overall) == 3
    for change in overall:
        assert change.difference == pytest.approx((8 - 60) * 0.05 / 68, abs=1e-12)
        assert change.after < change.before
    found = regressions(before, planted)
    assert {(change.bucket, change.figure) for change in found} == {("low light", "perceptual_distance")}
    assert {change.rung for change in found} == {"telea", "patchmatch", "delivered"}
    for change in found:
        assert change.pairs == 8
        assert (change.difference, change.low, change.high) == pytest.approx((0.05, 0.05, 0.05), abs=1e-12)
        assert change.after - change.before == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("figure", NOTICEABLE)
def test_a_figure_regresses_in_its_own_direction_only_and_when_it_is_noticed(before: Content, figure: str) -> None:
    least = NOTICEABLE[figure]
    for share, worse in ((1.2, True), (0.8, False), (-5.0, False)):
        found = regressions(before, changed(before, figure, {"texture": share * least}))
        assert {(change.bucket, change.figure) for change in found} == ({("texture", figure)} if worse else set())


def test_a_change_that_chance_may_have_made_is_no_regression(before: Content) -> None:
    scattered = copy.deepcopy(before)
    for number, image in enumerate(image for image in scattered["images"] if image["bucket"] == "low light"):
        image["texts"][0]["perceptual_distance"] += 0.5 if number % 2 else -0.46
    (change,) = [
        change
        for change in compare(before, scattered)
        if (change.bucket, change.rung, change.figure) == ("low light", "delivered", "perceptual_distance")
    ]
    assert change.difference == pytest.approx(0.02, abs=1e-12)
    assert change.low < 0 < change.high
    assert not change.regression


def test_the_interval_is_the_one_that_resampling_gives(before: Content) -> None:
    worse, generator = copy.deepcopy(before), np.random.default_rng(5)
    rises = generator.normal(0.05, 0.05, 40)
    for rise, image in zip(rises, (image for image in worse["images"] if image["bucket"] == "photo"), strict=True):
        image["texts"][0]["perceptual_distance"] += float(rise)
    (change,) = [
        change
        for change in compare(before, worse)
        if (change.bucket, change.rung, change.figure) == ("photo", "delivered", "perceptual_distance")
    ]
    half = 1.96 * rises.std() / np.sqrt(40)
    assert change.difference == pytest.approx(rises.mean(), abs=1e-12)
    assert change.low == pytest.approx(rises.mean() - half, abs=0.15 * half)
    assert change.high == pytest.approx(rises.mean() + half, abs=0.15 * half)


def test_the_same_evaluations_give_the_same_intervals(before: Content, planted: Content) -> None:
    assert compare(before, planted) == compare(before, planted)


def test_items_are_paired_whatever_their_order(before: Content, planted: Content) -> None:
    reversed_order = {**planted, "fills": planted["fills"][::-1], "images": planted["images"][::-1]}
    assert compare(before, planted) == compare(before, reversed_order)


def test_what_only_one_of_them_has_is_left_out(before: Content) -> None:
    fewer = copy.deepcopy(before)
    fewer["images"] = fewer["images"][1:]
    fewer["fills"] = fewer["fills"][2:]
    pairs = {change.bucket: change.pairs for change in compare(before, fewer)}
    assert pairs == {"all": 67, "photo": 39, "texture": 20, "low light": 8}


def test_the_sets_are_compared_apart(before: Content) -> None:
    both = copy.deepcopy(before)
    for item in (*both["fills"], *both["images"]):
        item["set"] = "tune" if item["bucket"] == "photo" else "report"
    found = {(change.set, change.bucket): change.pairs for change in compare(both, both)}
    assert found == {
        ("tune", "all"): 40,
        ("tune", "photo"): 40,
        ("report", "all"): 28,
        ("report", "texture"): 20,
        ("report", "low light"): 8,
    }


def test_figures_that_could_not_be_measured_are_left_out(before: Content) -> None:
    without = copy.deepcopy(before)
    for fill in without["fills"]:
        fill["figures"] = {"seam": fill["figures"]["seam"], "colour_shift": None}
    for image in without["images"]:
        del image["texts"]
    assert {key.figure for key, _ in observations(without)} == {"seam"}
    assert {change.figure for change in compare(without, without)} == {"seam"}


def test_evaluations_of_different_suites_are_refused(before: Content) -> None:
    other = {**before, "suite": {**before["suite"], "checksum": "fedcba9876543210"}}
    with pytest.raises(ValueError, match="different suites: 0123456789abcdef and fedcba9876543210"):
        compare(before, other)


def test_the_pictures_that_moved_furthest_from_the_truth_come_first(before: Content) -> None:
    after = copy.deepcopy(before)
    for number, rise in ((3, 0.2), (5, 0.4), (7, -0.3)):
        after["images"][number]["texts"][0]["perceptual_distance"] += rise
    found = worst_images(before, after)
    assert [file for file, _ in found] == ["photo-5.png", "photo-3.png"]
    assert [rise for _, rise in found] == pytest.approx([0.4, 0.2])
    assert worst_images(before, before) == []


def test_the_page_names_every_regression_and_needs_nothing_else(
    before: Content, planted: Content, save: Callable[[str, Content], Path]
) -> None:
    a, b = save("a", before), save("b", planted)
    page = write_comparison(a, b, before, planted, compare(before, planted))
    text = page.read_text()
    assert page == b / "comparison.html"
    assert "<h1>3 regressions from A to B</h1>" in text
    assert len(re.findall(r'<tr class="bad"><td>report</td><td>low light</td>', text)) == text.count('class="bad"') == 3
    assert not re.search(r"https?://|@import|url\(|<script src|<link", text)
    assert "<svg" in text
    assert text.count("<figcaption>low light-") == 8


def test_the_page_fits_a_phone(
    before: Content, planted: Content, save: Callable[[str, Content], Path], assert_fits_phone: FitsPhone
) -> None:
    a, b = save("a", before), save("b", planted)
    assert_fits_phone(write_comparison(a, b, before, planted, compare(before, planted)))


def test_the_command_exits_with_0_for_identical_evaluations(
    before: Content, save: Callable[[str, Content], Path], compare_command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = compare_command(save("a", before), save("b", before))
    assert (code, err) == (0, "")
    assert "0 worse" in out
    assert "worse:" not in out


def test_the_command_exits_with_1_and_names_the_bucket_of_a_planted_regression(
    before: Content,
    planted: Content,
    save: Callable[[str, Content], Path],
    compare_command: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = compare_command(save("a", before), save("b", planted))
    assert code == 1
    worse = [line for line in out.splitlines() if line.startswith("worse:")]
    assert len(worse) == 3
    assert all("perceptual_distance" in line and "bucket low light" in line and "8 pairs" in line for line in worse)
    assert "3 worse" in out


def test_the_command_exits_with_0_when_everything_got_better(
    before: Content, save: Callable[[str, Content], Path], compare_command: Callable[..., tuple[int, str, str]]
) -> None:
    better = changed(before, "perceptual_distance", dict.fromkeys(BUCKETS, -0.05))
    assert compare_command(save("a", before), save("b", better))[0] == 0


@pytest.mark.parametrize("content", [None, "", "these are words", "{}", "[]", '{"suite": {}}'])
def test_what_is_no_evaluation_is_one_line_and_exit_code_2(
    content: str | None,
    before: Content,
    tmp_path: Path,
    save: Callable[[str, Content], Path],
    compare_command: Callable[..., tuple[int, str, str]],
) -> None:
    a, b = save("a", before), tmp_path / "b"
    b.mkdir()
    if content is not None:
        (b / "evaluation.json").write_text(content)
    code, out, err = compare_command(a, b)
    assert (code, out) == (2, "")
    assert err.startswith("error: comparison_invalid: ")
    assert "Traceback" not in err


def test_reading_a_folder_without_an_evaluation_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no evaluation") as raised:
        read(tmp_path)
    assert str(raised.value) == f"{tmp_path} holds no evaluation: it has no evaluation.json"


def test_the_command_refuses_different_suites_in_one_line(
    before: Content, save: Callable[[str, Content], Path], compare_command: Callable[..., tuple[int, str, str]]
) -> None:
    other = {**before, "suite": {**before["suite"], "checksum": "fedcba9876543210"}}
    code, out, err = compare_command(save("a", before), save("b", other))
    assert (code, out) == (2, "")
    assert err.startswith("error: comparison_invalid: different suites")
