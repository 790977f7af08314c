"""The review page in a real browser: people filter, decide by keyboard, and lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from flows.review.apply import apply_decisions
from operators.ledger.decisions import read_decisions
from tests.fixtures.chromium import Browse
from tests.fixtures.reviewed_run import FinishedRun
from tests.flows.review.conftest import Serve

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

SECONDS = 20.0


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + SECONDS
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.03)
    return result


class Page:
    """What a reviewer does with the page."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser
        wait_for(lambda: self.script("return document.body.dataset.ready") == "yes", "loading the page")

    def script(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def set(self, name: str, value: str) -> None:
        loaded = self.script("return document.getElementById('grid').dataset.loaded")
        self.script(
            "const field = document.getElementById('filter').elements[arguments[0]]; field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )
        wait_for(lambda: self.script("return document.getElementById('grid').dataset.loaded") != loaded, "filtering")

    @property
    def paths(self) -> list[str]:
        return list(self.script("return [...document.querySelectorAll('.card .path')].map(each => each.textContent)"))

    def open(self, path: str) -> None:
        self.script(
            "[...document.querySelectorAll('.card')].find(each => each.querySelector('.path').title === arguments[0]).click()",
            path,
        )
        self.shown(path)

    def shown(self, path: str) -> None:
        wait_for(
            lambda: self.script(
                "return document.getElementById('viewer').dataset.shown"
                " && document.getElementById('title').textContent === arguments[0]",
                path,
            ),
            f"showing {path}",
        )

    def text(self, name: str) -> str:
        return str(self.script("return document.getElementById(arguments[0]).textContent", name))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]


@pytest.fixture
def page(browse: Browse, serve: Serve, reviewable: FinishedRun) -> Page:
    return Page(browse(f"{serve(reviewable.dest).url}?who=ana"))


def decided(run: FinishedRun) -> list[tuple[str, str, int | None, str]]:
    return [(each.path, each.action, each.region, each.who) for each in read_decisions(str(run.dest))]


def test_a_reviewer_filters_rejects_and_redoes_with_a_brush_and_apply_delivers_that(
    page: Page, reviewable: FinishedRun
) -> None:
    assert sorted(page.paths) == ["hill/a.png", "hill/b.jpg", "sea/c.png", "sea/d.png"]
    page.set("bucket", "hill")
    assert sorted(page.paths) == ["hill/a.png", "hill/b.jpg"]
    page.set("path", "B.j")
    assert page.paths == ["hill/b.jpg"]
    page.script("document.getElementById('filter').reset()")
    wait_for(lambda: len(page.paths) == 4, "clearing the filters")
    page.set("verdict", "untouched")
    assert page.paths == ["sea/d.png"]
    page.set("verdict", "edited")

    page.open("hill/a.png")
    page.press("x")
    wait_for(lambda: decided(reviewable) == [("hill/a.png", "reject", None, "ana")], "rejecting by keyboard")

    wait_for(lambda: page.text("title") != "hill/a.png", "being handed the next picture")
    page.press("\ue00c")
    page.open("sea/c.png")
    page.press("]", "r", "\ue00c", "r")
    page.script("document.activeElement.blur()")
    page.press("b")
    wait_for(lambda: page.script("return Boolean(document.querySelector('canvas.brush'))"), "making the mask")
    page.script("""
      const slider = document.getElementById('slider'), box = slider.getBoundingClientRect();
      const send = (type, x, y) => slider.dispatchEvent(
        new PointerEvent(type, {bubbles: true, pointerId: 1, clientX: box.left + x, clientY: box.top + y}));
      slider.setPointerCapture = () => {};
      const stage = document.querySelector('.stage').getBoundingClientRect();
      const at = (x, y) => [stage.left - box.left + x * stage.width / 400, stage.top - box.top + y * stage.height / 240];
      send('pointerdown', ...at(300, 200)); send('pointermove', ...at(360, 200)); send('pointerup', ...at(360, 200));""")
    page.press("\ue007")
    wait_for(lambda: len(decided(reviewable)) == 2, "sending the mended mask")
    assert decided(reviewable)[1] == ("sea/c.png", "redo", 0, "ana")
    assert not page.errors()

    applied = apply_decisions(str(reviewable.dest))
    assert (applied.done, applied.failures) == (2, [])
    assert reviewable.delivered("hill/a.png") == reviewable.original("hill/a.png")
    before, after = (np.asarray(Image.open(file / "sea/c.png")) for file in (reviewable.source, reviewable.dest / "images"))
    changed = np.abs(before.astype(int) - after).max(axis=2) > 0
    assert changed[192:209, 295:365].any(), "what the brush has painted is filled"
    assert changed[40:80, 30:140].any(), "what the run had masked is filled again"
    assert not changed[100:180].any()
    row = reviewable.rows["sea/c.png"]
    assert [(each["state"], each["origin"]) for each in row["regions"]] == [
        ("kept", "detect"),
        ("erased", "review"),
        ("erased", "review"),
    ]


def test_every_view_works_by_keyboard(page: Page) -> None:
    page.open("hill/b.jpg")
    page.press("4")
    assert page.text("zoom") == "400 %"
    page.press("d")
    assert page.script("return document.getElementById('slider').classList.contains('difference')")
    page.press("d", "0", "\ue014")
    assert page.script("return document.querySelector('.bar').getAttribute('aria-valuenow')") == "52"
    page.press("]")
    assert page.script("return document.querySelectorAll('polygon.chosen').length") == 1
    page.press("m")
    address = wait_for(lambda: page.script("return document.querySelector('.channel')?.style.maskImage"), "making the mask")
    assert "/masks/core?" in address
    size = page.script(
        "const image = new Image(); image.src = arguments[0];"
        "return image.decode().then(() => [image.naturalWidth, image.naturalHeight])",
        address.split('"')[1],
    )
    assert size == [400, 240]
    page.press("g")
    assert page.script("return document.querySelectorAll('polygon').length") == 0
    page.press("\ue00c")
    assert not page.script("return document.getElementById('viewer').open")
    assert not page.errors()


def test_two_reviewers_get_different_pictures_and_one_cannot_decide_for_the_other(
    browse: Browse, serve: Serve, reviewable: FinishedRun
) -> None:
    server = serve(reviewable.dest)
    ana, ben = (Page(browse(f"{server.url}?who={name}")) for name in ("ana", "ben"))
    ana.press("u")
    wait_for(lambda: ana.script("return document.getElementById('viewer').dataset.shown"), "handing out")
    ben.press("u")
    wait_for(lambda: ben.script("return document.getElementById('viewer').dataset.shown"), "handing out")
    assert ana.text("title") != ben.text("title")
    taken = ana.text("title")
    ben.press("\ue00c")
    ben.open(taken)
    assert ben.text("held") == "ana is looking at this picture"
    ben.press("x")
    wait_for(lambda: "ana is looking" in ben.text("said"), "refusing")
    assert decided(reviewable) == []
    ana.press("a")
    wait_for(lambda: decided(reviewable) == [(taken, "accept", None, "ana")], "accepting")


def test_a_server_that_is_killed_loses_no_decision(browse: Browse, serve: Serve, reviewable: FinishedRun) -> None:
    server = serve(reviewable.dest)
    page = Page(browse(f"{server.url}?who=ana"))
    page.open("hill/a.png")
    page.press("x")
    wait_for(lambda: page.text("said").startswith("reject"), "the answer")
    server.kill()
    assert decided(reviewable) == [("hill/a.png", "reject", None, "ana")]
    again = Page(browse(f"{serve(reviewable.dest).url}?who=ben"))
    assert "1 rejected" in again.text("counts")


def test_the_sample_states_what_is_proven_after_each_decision(browse: Browse, serve: Serve, reviewable: FinishedRun) -> None:
    page = Page(browse(f"{serve(reviewable.dest, '--sample').url}?who=ana&sampled=1"))
    assert sorted(page.paths) == ["hill/a.png", "hill/b.jpg", "sea/c.png"]
    assert "Nothing is proven yet" in page.text("proven")
    page.press("u")
    wait_for(lambda: page.script("return document.getElementById('viewer').dataset.shown"), "handing out")
    for bad in range(3):
        title = page.text("title")
        page.press("x" if bad == 0 else "a")
        wait_for(lambda number=bad + 1: f"{number} of 3 drawn pictures are decided" in page.text("proven"), "stating")
        if bad < 2:
            wait_for(lambda title=title: page.text("title") != title, "handing out")
            page.shown(page.text("title"))
    assert "Of 3 edits at most 33.4 % are bad" in page.text("proven")
    report = reviewable.dest / "report.html"
    wait_for(lambda: "at most 33.4 % are bad" in report.read_text(), "putting it into the report")


def test_the_first_screen_of_100_000_pictures_is_there_within_a_second(browse: Browse, serve: Serve, large_run: Path) -> None:
    server = serve(large_run)
    page = Page(browse(f"{server.url}?who=ana"))
    seconds = []
    for _ in range(3):
        page.browser.get(f"{server.url}?who=ana")
        Page(page.browser)
        wait_for(lambda: page.script("return performance.getEntriesByName('first-screen').length"), "painting")
        seconds.append(page.script("return performance.getEntriesByName('first-screen')[0].startTime / 1000"))
    assert "1 to 60 of 100,000" in page.text("place")
    assert min(seconds) < 1.0, seconds


def test_a_phone_shows_the_page_without_scrolling_sideways(browse: Browse, serve: Serve, reviewable: FinishedRun) -> None:
    browser = browse("about:blank", 390, 844)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    browser.get(f"{serve(reviewable.dest).url}?who=ana")
    page = Page(browser)
    assert page.script("return document.documentElement.scrollWidth") <= 390
    page.open("hill/b.jpg")
    assert page.script("return document.getElementById('viewer').scrollWidth") <= 390
    unnamed = page.script("""return [...document.querySelectorAll('button, input, select')].filter(each =>
      !(each.textContent.trim() || each.getAttribute('aria-label') || each.closest('label'))).map(each => each.outerHTML)""")
    assert unnamed == []


def test_a_name_that_was_changed_stays_when_the_page_is_loaded_again(page: Page) -> None:
    page.script("const who = document.getElementById('who'); who.value = 'eva'; who.dispatchEvent(new Event('input'))")
    page.browser.refresh()
    again = Page(page.browser)
    assert again.script("return document.getElementById('who').value") == "eva"


def test_lines_over_a_picture_keep_their_width_at_every_zoom(page: Page) -> None:
    page.open("hill/b.jpg")
    for key, zoom in (("4", 4.0), ("1", 1.0)):
        page.press(key)
        wait_for(lambda: page.script("return document.querySelector('.stage polygon') !== null"), "outlines")
        width = page.script("return parseFloat(getComputedStyle(document.querySelector('.stage polygon')).strokeWidth)")
        assert width == pytest.approx(2 / zoom)
