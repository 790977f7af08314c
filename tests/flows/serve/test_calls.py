"""What a service may spend on a model over HTTP is bounded over all of its workers."""

from __future__ import annotations

import collections
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from PIL import Image, ImageDraw, ImageFont

from tests.fixtures.cli import Invoke
from tests.fixtures.http_model import KEY, Editor, filled
from tests.flows.serve.conftest import started

GROUND, COLOUR = (90, 140, 190), (93, 143, 193)


def picture(number: int, text: str = "SUMMER") -> bytes:
    drawn = Image.new("RGB", (360, 160), GROUND)
    ImageDraw.Draw(drawn).text((40 + number, 50), text, (255, 255, 255), font=ImageFont.load_default(44))
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def painter(editor: Editor) -> Editor:
    """A model over HTTP that fills with a colour that the gate accepts."""
    editor.script = lambda number, asked: filled(asked, COLOUR)
    return editor


def test_the_calls_of_all_workers_together_end_at_the_limit_and_the_answer_says_so(painter: Editor, tmp_path: Path) -> None:
    options = ("--workers", 2, "--model", painter.reference, "--max-calls", 3, "--calls-in", tmp_path / "calls")
    key = {"CLEANPLATE_MODEL_KEY": KEY}

    def ask(number: int) -> requests.Response:
        return requests.post(url, picture(number), params={"model": painter.reference}, timeout=120)

    with started(*options, environment=key) as running:
        url = f"{running.url}/v1/erase"
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(ask, range(6)))
        assert collections.Counter(answer.status_code for answer in answers) == {200: 3, 402: 3}
        assert len(painter.asked) == 3
        spent = [answer.json()["error"] for answer in answers if not answer.ok]
        words = f"this service may make no more calls of {painter.reference}"
        assert {(error["code"], error["message"]) for error in spent} == {("calls_spent", words)}
        # What needs no call is worked: a picture without a text, and other models.
        assert (
            requests.post(url, picture(0, ""), params={"model": painter.reference}).headers["X-Cleanplate-Verdict"]
            == "untouched"
        )
        assert requests.post(url, picture(0)).headers["X-Cleanplate-Verdict"] == "edited"
    # The same place has the same account after a new start, and answers that are paid for.
    with started(*options, environment=key) as running:
        url = f"{running.url}/v1/erase"
        paid = next(number for number, answer in enumerate(answers) if answer.ok)
        assert ask(paid).content == answers[paid].content
        assert ask(9).status_code == 402 and len(painter.asked) == 3


def test_a_model_over_http_has_a_limit_without_an_option_and_options_need_a_model(invoke: Invoke) -> None:
    from flows.serve.app import Settings

    assert Settings().calls.most_calls == 1000
    code, _, err = invoke("serve", "--max-calls", "5")
    assert (code, err) == (2, "error: option_invalid: options of calls need --model https://host/v1/images/edits#NAME\n")
