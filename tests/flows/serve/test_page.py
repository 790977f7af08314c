"""The page of the service, in Chromium."""

from __future__ import annotations

import base64
import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

from flows.evaluation import patterns
from tests.fixtures.chromium import Browse
from tests.flows.serve.conftest import Erased, started

DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], arguments[1], {type: "image/png"}));
document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
"""


PASTE = """
const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], "image.png", {type: "image/png"}));
document.body.dispatchEvent(new ClipboardEvent("paste", {bubbles: true, cancelable: true, clipboardData: data}));
"""


def wait_for(browser: Any, words: str) -> None:
    wait_for_all(browser, [words])


def wait_for_all(browser: Any, words: list[str]) -> None:
    """Wait until the pictures on the page say these words, in their order."""
    ends = time.monotonic() + 120
    while True:
        texts = [state.text for state in browser.find_elements("css selector", ".state")]
        if len(texts) == len(words) and all(each in text for each, text in zip(words, texts, strict=True)):
            return
        assert time.monotonic() < ends, texts
        time.sleep(0.1)


def drop(browser: Any, erased: Erased) -> None:
    browser.execute_script(DROP, base64.b64encode(erased.source).decode(), "poster.png")
    wait_for(browser, "2 found")


def downloaded(browser: Any, folder: Path, name: str = "poster.png") -> bytes:
    """The file that the link for downloads saves."""
    browser.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    browser.find_element("css selector", ".download").click()
    file, ends = folder / name, time.monotonic() + 30
    while not file.exists() and time.monotonic() < ends:
        time.sleep(0.1)
    return file.read_bytes()


def no_errors(browser: Any) -> bool:
    return not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_dropped_picture_is_erased_and_downloaded(browse: Browse, service: str, erased: Erased, tmp_path: Path) -> None:
    browser = browse(service)
    drop(browser, erased)
    assert len(browser.find_elements("css selector", ".look polygon")) == 2
    browser.find_element("css selector", ".erase").click()
    wait_for(browser, "Erased")
    bar = browser.find_element("css selector", ".compare .bar")
    bar.send_keys("\ue012")  # the left arrow
    assert bar.get_attribute("aria-valuenow") == "48"
    assert browser.find_element("css selector", ".download").get_attribute("download") == "poster.png"
    assert downloaded(browser, tmp_path) == erased.result
    assert no_errors(browser)


def test_an_unticked_text_stays_and_a_box_is_drawn(browse: Browse, service: str, erased: Erased, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    browser = browse(service, 500, 900)
    drop(browser, erased)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    ticks = browser.find_elements("css selector", ".boxes input")
    ticks[1].click()
    browser.find_element("css selector", ".draw").click()
    look = browser.find_element("css selector", ".look")
    ActionChains(browser).move_to_element_with_offset(look, 40, -30).click_and_hold().move_by_offset(60, 40).release().perform()
    labels = [label.text for label in browser.find_elements("css selector", ".boxes label")]
    assert labels == ["Text 1", "Text 2", "Drawn box 1"]
    browser.find_element("css selector", ".erase").click()
    wait_for(browser, "what is not ticked stays")
    pixels, source = (np.asarray(Image.open(io.BytesIO(data))) for data in (downloaded(browser, tmp_path), erased.source))
    assert (pixels[210:] == source[210:]).all() and not (pixels[:120] == source[:120]).all()
    assert no_errors(browser)


def test_a_pasted_picture_and_one_that_was_taken_are_worked(browse: Browse, service: str, erased: Erased) -> None:
    browser = browse(service)
    browser.execute_script(PASTE, base64.b64encode(erased.source).decode())
    wait_for(browser, "2 found")
    camera = browser.find_element("css selector", "#camera")
    assert camera.get_attribute("capture") == "environment"
    # A browser on a phone opens its camera here; the picture then arrives as a chosen file does.
    camera.send_keys(str(erased.file))
    wait_for_all(browser, ["2 found", "2 found"])
    assert [heading.text for heading in browser.find_elements("css selector", "#pictures h2")] == ["image.png", "poster.png"]
    assert no_errors(browser)


def test_several_pictures_at_once_are_each_erased_and_one_that_is_none_says_so(
    browse: Browse, service: str, erased: Erased, tmp_path: Path
) -> None:
    browser = browse(service)
    files = [tmp_path / name for name in ("one.png", "two.png", "none.png")]
    for file in files[:2]:
        file.write_bytes(erased.source)
    files[2].write_bytes(b"not a picture")
    browser.find_element("css selector", "#files").send_keys("\n".join(map(str, files)))
    wait_for_all(browser, ["2 found", "2 found", "not a picture"])
    assert [button.is_enabled() for button in browser.find_elements("css selector", ".erase")] == [True, True, False]
    for button in browser.find_elements("css selector", ".erase")[:2]:
        button.click()
    wait_for_all(browser, ["Erased", "Erased", "not a picture"])
    links = browser.find_elements("css selector", ".download")
    assert [link.get_attribute("download") for link in links[:2]] == ["one.png", "two.png"]
    browser.find_elements("css selector", ".remove")[0].click()
    assert len(browser.find_elements("css selector", "#pictures article")) == 2


def test_a_picture_that_the_browser_cannot_show_is_erased_all_the_same(
    browse: Browse, service: str, erased: Erased, tmp_path: Path
) -> None:
    browser = browse(service)
    scan, note = tmp_path / "poster.tif", tmp_path / "note.txt"
    Image.open(erased.file).save(scan, compression="tiff_deflate")
    note.write_bytes(b"no picture")
    browser.find_element("css selector", "#files").send_keys(f"{scan}\n{note}")
    wait_for(browser, "2 found · this browser cannot show this format")
    assert browser.find_element("css selector", "#status").text == "1 added, 1 left out: not a picture"
    assert not browser.find_element("css selector", ".view").is_displayed()
    assert not browser.find_element("css selector", ".draw").is_enabled()
    browser.find_element("css selector", ".erase").click()
    wait_for(browser, "Erased · this browser cannot show this format")
    assert "bad" not in browser.find_element("css selector", ".state").get_attribute("class")
    of_the_api = requests.post(f"{service}/v1/erase", scan.read_bytes()).content
    assert downloaded(browser, tmp_path / "saved", "poster.tif") == of_the_api != scan.read_bytes()
    assert no_errors(browser)


def test_a_service_that_is_away_is_said_in_words_and_asked_again(browse: Browse, erased: Erased) -> None:
    with started() as running:
        browser = browse(running.url)
        browser.set_network_conditions(offline=True, latency=0, throughput=-1)
        browser.find_element("css selector", "#files").send_keys(str(erased.file))
        wait_for(browser, "The service does not answer.")
        button = browser.find_element("css selector", ".erase")
        assert button.text == "Try again"
        browser.delete_network_conditions()
        button.click()
        wait_for(browser, "2 found")
        assert button.text == "Erase"


def test_a_token_that_the_service_asks_for_is_entered_once(browse: Browse, erased: Erased, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (800, 1200, 3), np.uint8)).save(large)
    with started(environment={"CLEANPLATE_TOKEN": "a-token"}) as running:
        browser = browse(running.url)
        line = browser.find_element("css selector", "#token-line")
        assert not line.is_displayed()
        browser.find_element("css selector", "#files").send_keys(f"{erased.file}\n{large}")
        wait_for_all(browser, ["token_wrong", "token_wrong"])
        assert line.is_displayed()
        token = browser.find_element("css selector", "#token")
        token.send_keys("wrong\t")
        wait_for_all(browser, ["token_wrong", "token_wrong"])
        token.clear()
        token.send_keys("a-token\t")
        wait_for_all(browser, ["2 found", "No text was found"])
        browser.find_elements("css selector", ".erase")[0].click()
        wait_for_all(browser, ["Erased", "No text was found"])
        assert not line.is_displayed()


def test_texts_in_doubt_are_not_counted_as_found(browse: Browse, service: str, tmp_path: Path) -> None:
    drawn = tmp_path / "icons.png"
    Image.fromarray(patterns.icons(random.Random(4), (640, 480), 24)).save(drawn)
    regions = requests.post(f"{service}/v1/find", files={"image": drawn.read_bytes()}).json()["regions"]
    doubtful = sum(region["state"] == "kept" for region in regions)
    assert doubtful == len(regions) > 0
    browser = browse(service)
    browser.find_element("css selector", "#files").send_keys(str(drawn))
    wait_for(browser, "No text was found")
    assert f"{doubtful} in doubt" in browser.find_element("css selector", ".state").text
