"""The page of the service, in Chromium."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fixtures.chromium import Browse
from tests.flows.serve.conftest import Erased

DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], arguments[1], {type: "image/png"}));
document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
"""


def wait_for(browser: Any, words: str) -> None:
    ends = time.monotonic() + 90
    while words not in (text := browser.find_element("css selector", ".state").text):
        assert time.monotonic() < ends, text
        time.sleep(0.1)


def drop(browser: Any, erased: Erased) -> None:
    browser.execute_script(DROP, base64.b64encode(erased.source).decode(), "poster.png")
    wait_for(browser, "2 found")


def downloaded(browser: Any, folder: Path) -> bytes:
    """The file that the link for downloads saves."""
    browser.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    browser.find_element("css selector", ".download").click()
    file, ends = folder / "poster.png", time.monotonic() + 30
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
