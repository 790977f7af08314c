"""The service answers as the command line does, and with the right status when it cannot."""

from __future__ import annotations

import base64
import collections
import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import requests
from PIL import Image, ImageDraw

import cleanplate
from tests.flows.serve.conftest import Erased, started


def png(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds almost nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_plain_bytes_a_form_and_json_give_the_bytes_of_the_command_line(service: str, erased: Erased) -> None:
    plain = requests.post(f"{service}/v1/erase", erased.source, headers={"Content-Type": "image/png"})
    form = requests.post(f"{service}/v1/erase", files={"image": erased.source})
    document = requests.post(
        f"{service}/v1/erase",
        json={"image": base64.b64encode(erased.source).decode()},
        headers={"Accept": "application/json"},
    )
    assert erased.result != erased.source
    assert plain.content == form.content == base64.b64decode(document.json()["image"]) == erased.result
    assert plain.headers["X-Cleanplate-Verdict"] == document.json()["verdict"] == "edited"
    assert plain.headers["Content-Type"] == "image/png"


def test_a_url_in_an_allowed_place_gives_the_same_bytes(service: str, web: str, erased: Erased) -> None:
    assert requests.post(f"{service}/v1/erase", params={"url": f"{web}/poster.png"}).content == erased.result


def test_a_selection_is_that_of_the_command_line(service: str, erased: Erased) -> None:
    answer = requests.post(f"{service}/v1/erase", files={"image": erased.source}, data={"not_zone": ["0,200:480x120"]})
    pixels, source = (np.asarray(Image.open(io.BytesIO(data))) for data in (answer.content, erased.source))
    assert answer.headers["X-Cleanplate-Reasons"] == '["kept_by_rule"]'
    assert (pixels[200:] == source[200:]).all() and not (pixels[:200] == source[:200]).all()


def test_find_says_where_texts_are(service: str, erased: Erased) -> None:
    found = requests.post(f"{service}/v1/find", files={"image": erased.source}, data={"read": "true"}).json()
    assert found["verdict"] == "found" and [region["text"] for region in found["regions"]] == ["SUMMER SALE", "Open at nine"]


def test_a_mask_is_filled_as_in_python_and_as_openai_asks(service: str, erased: Erased) -> None:
    mask = Image.new("L", (480, 320))
    ImageDraw.Draw(mask).rectangle((30, 40, 320, 100), 255)
    clear = Image.merge("RGBA", [Image.new("L", mask.size)] * 3 + [Image.eval(mask, lambda value: 255 - value)])
    files = [io.BytesIO(), io.BytesIO()]
    mask.save(files[0], "PNG")
    clear.save(files[1], "PNG")
    own = requests.post(f"{service}/v1/inpaint", files={"image": erased.source, "mask": files[0].getvalue()})
    theirs = requests.post(
        f"{service}/v1/images/edits",
        files={"image": ("a.png", erased.source, "image/png"), "mask": ("m.png", files[1].getvalue(), "image/png")},
        data={"prompt": "nothing", "model": "cleanplate", "n": "1"},
    ).json()
    expected = cleanplate.inpaint(erased.source, mask).data
    assert own.content == base64.b64decode(theirs["data"][0]["b64_json"]) == expected != erased.source


def test_a_picture_is_enlarged(service: str) -> None:
    small = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(small, "PNG")
    answer = requests.post(f"{service}/v1/enlarge", small.getvalue(), params={"scale": 2})
    assert Image.open(io.BytesIO(answer.content)).size == (80, 60)


@pytest.mark.parametrize("name", ["preset", "model", "prompt", "budget_ms"])
def test_options_of_fills_beside_a_cover_are_refused_in_one_line(service: str, erased: Erased, name: str) -> None:
    values = {"preset": "quality", "model": "telea", "prompt": "a wall", "budget_ms": 5}
    answer = requests.post(f"{service}/v1/erase", erased.source, params={"fill": "color", name: values[name]})
    assert code(answer) == (400, "option_invalid")
    assert answer.json()["error"]["message"] == f"the request: fill color hides what is below it and needs no {name}"


def test_a_budget_of_nothing_delivers_the_original_with_the_reason(service: str, erased: Erased) -> None:
    answer = requests.post(f"{service}/v1/erase", erased.source, params={"budget_ms": 0})
    assert answer.status_code == 200 and answer.content == erased.source
    assert answer.headers["X-Cleanplate-Verdict"] == "rolled_back" and "budget" in answer.headers["X-Cleanplate-Reasons"]


def test_what_cannot_be_worked_has_a_status_and_a_code(service: str, erased: Erased) -> None:
    def sent(data: bytes, **options: object) -> tuple[int, str]:
        return code(requests.post(f"{service}/v1/erase", data, params=options))

    assert sent(b"\0" * 300_001) == (413, "bytes_over_limit")
    assert sent(b"\0" * 2_000_000) == (413, "bytes_over_limit")
    assert sent(b"not a picture") == (415, "not_an_image")
    assert sent(erased.source[: len(erased.source) // 2]) == (422, "truncated")
    assert sent(png(60_000, 60_000)) == (413, "pixels_over_limit")
    assert sent(b"") == (400, "request_invalid")
    assert sent(erased.source, preset="best") == (400, "option_invalid")
    assert sent(erased.source, model="/etc") == (400, "option_invalid")
    assert sent(erased.source, colour="red") == (400, "option_invalid")
    assert sent(erased.source, regions="[[1,2]]") == (400, "option_invalid")
    assert code(requests.post(f"{service}/v1/inpaint", erased.source)) == (400, "request_invalid")


@pytest.mark.parametrize(
    ("mask", "words"), [(b"no picture", "this is no picture"), (png(50, 50), "50 x 50 pixels, the image has 480 x 320")]
)
def test_a_mask_that_does_not_fit_is_called_the_mask(service: str, erased: Erased, mask: bytes, words: str) -> None:
    answer = requests.post(f"{service}/v1/inpaint", files={"image": erased.source, "mask": mask})
    assert code(answer) == (422, "mask_unreadable") and answer.json()["error"]["message"] == f"mask: {words}"


def test_a_wrong_option_has_its_name_in_a_request(service: str, erased: Erased) -> None:
    answer = requests.post(f"{service}/v1/erase", erased.source, params={"not_zone": "there"})
    assert answer.json()["error"]["message"].startswith("not_zone there: ")


def test_no_private_address_is_asked_by_figures_by_name_or_by_redirect(service: str, web: str) -> None:
    def fetched(url: str) -> tuple[int, str]:
        return code(requests.post(f"{service}/v1/erase", params={"url": url}))

    assert fetched("http://169.254.169.254/latest/meta-data") == (403, "source_not_allowed")
    assert fetched("http://[::1]/") == (403, "source_not_allowed")
    assert fetched("file:///etc/passwd") == (403, "source_not_allowed")
    # An allowed name, which resolves to this machine.
    assert fetched(f"{web.replace('127.0.0.1', 'localhost')}/poster.png") == (403, "source_not_allowed")
    assert fetched(f"{web}/to-name") == (403, "source_not_allowed")
    assert fetched(f"{web}/to-metadata") == (403, "source_not_allowed")
    assert fetched(f"{web}/missing.png") == (502, "key_missing")


def test_two_hundred_requests_at_once_are_worked_or_refused(service: str, erased: Erased) -> None:
    def ask(_: int) -> requests.Response:
        return requests.post(f"{service}/v1/erase", erased.source, timeout=120)

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    counts = collections.Counter(answer.status_code for answer in answers)
    assert set(counts) == {200, 429} and counts[200] >= 9
    assert {answer.content for answer in answers if answer.ok} == {erased.result}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if not answer.ok)
    assert requests.get(f"{service}/healthz").text == "ok"
    assert f"cleanplate_refused_total {counts[429]}.0" in requests.get(f"{service}/metrics").text


def test_only_the_token_opens_and_a_lost_worker_rolls_back(erased: Erased) -> None:
    with started(environment={"CLEANPLATE_TOKEN": "right"}) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
            assert code(requests.post(f"{running.url}/v1/erase", erased.source, headers=headers)) == (401, "token_wrong")
        session = requests.Session()
        session.headers["Authorization"] = "Bearer right"
        busy = io.BytesIO()
        Image.effect_noise((400, 400), 90).convert("RGB").save(busy, "PNG")
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(session.post, f"{running.url}/v1/enlarge", busy.getvalue(), params={"scale": 4})
            for child in _workers(running.process.pid):
                child.kill()
            answer = asked.result()
        assert answer.content == busy.getvalue() and answer.headers["X-Cleanplate-Failure"] == "worker_crashed"
        assert session.post(f"{running.url}/v1/erase", erased.source).content == erased.result


def _workers(server: int) -> list[psutil.Process]:
    """The worker processes, once one of them computes."""
    children = psutil.Process(server).children()
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    before = {worker.pid: sum(worker.cpu_times()[:2]) for worker in workers}
    ends = time.monotonic() + 60
    while time.monotonic() < ends and all(sum(worker.cpu_times()[:2]) < before[worker.pid] + 0.1 for worker in workers):
        time.sleep(0.02)
    return workers


def test_a_service_for_others_needs_a_token() -> None:
    from tests.fixtures.cli import Command

    done = Command()("serve", "--host", "0.0.0.0", environment={"CLEANPLATE_TOKEN": ""})
    assert done.code == 2 and "set CLEANPLATE_TOKEN" in done.err
