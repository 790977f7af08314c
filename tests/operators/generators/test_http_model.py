"""A model that is asked over HTTP: what is sent, what is taken, and what ends a fill."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from operators.generators import http_calls, http_model
from operators.generators.call_account import CallLimits, CallsSpentError, account_of, totals_of
from operators.generators.contract import GeneratorContract
from operators.generators.generator import Request
from operators.generators.http_model import HttpModel
from operators.generators.microbatch import Filled, fill_all
from operators.masks.mask import BLEND, CONFIDENCE, CORE, dilated, hole_of
from operators.models.registry import resolve
from operators.models.service import card_of_service
from operators.rows.failure import Failure, RunError
from tests.fixtures.http_model import COLOUR, KEY, Asked, Editor, answered, failed, filled

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLEANPLATE_MODEL_KEY", raising=False)
    monkeypatch.setattr(http_calls, "FIRST_WAIT_SECONDS", 0.01)


def generator_of(editor: Editor, **more: object) -> HttpModel:
    return HttpModel(card_of_service(editor.reference), **more)  # type: ignore[arg-type]


def request_of(width: int = 120, height: int = 40, seed: int = 1, level: int = 90) -> Request:
    pixels = np.full((height, width, 3), level, np.uint8)
    pixels[:, ::7] += 20
    mask = np.zeros((height, width, 4), np.uint8)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4, [CORE, BLEND, CONFIDENCE]] = 255
    return Request(pixels, mask, seed, "a wall")


def outcome_of(generator: HttpModel, request: Request | None = None) -> Filled | Exception:
    (outcome,) = fill_all(generator, [request or request_of()])
    return outcome


def failure_of(generator: HttpModel) -> Failure:
    outcome = outcome_of(generator)
    assert isinstance(outcome, Failure), outcome
    return outcome


class TestHttpModel(GeneratorContract):
    """The contract of every generator, with a server that answers the same again."""

    @pytest.fixture(autouse=True)
    def _running(self, editor: Editor) -> Iterator[None]:
        self.editor = editor
        yield

    def generator(self) -> HttpModel:
        return generator_of(self.editor)


# --- what is sent


def test_a_request_has_the_shape_of_openais_image_edits(editor: Editor) -> None:
    outcome_of(generator_of(editor))
    (asked,) = editor.asked
    assert asked.path == "/v1/images/edits"
    assert {name: asked.text(name) for name in asked.fields if name not in ("image", "mask")} == {
        "model": "painter",
        "prompt": "a wall",
        "n": "1",
        "size": "1536x1024",
        "response_format": "b64_json",
    }
    picture, mask = asked.picture("image"), asked.picture("mask")
    assert picture.shape == (1024, 1536, 3) and mask.shape == (1024, 1536, 4)
    assert set(map(tuple, mask.reshape(-1, 4).tolist())) == {(255, 255, 255, 0), (0, 0, 0, 255)}
    assert "Authorization" not in asked.headers


def test_letters_do_not_leave_this_machine(editor: Editor) -> None:
    request = request_of()
    rims = dilated(hole_of(request.mask), 3) > 0
    request.pixels[rims] = (255, 0, 255)
    outcome_of(generator_of(editor), request)
    sent = editor.asked[0].picture("image").astype(int)
    assert sent.max() <= 115 and (sent.max(axis=2) - sent.min(axis=2)).max() <= 2


def test_models_that_refuse_a_field_or_a_size_are_not_sent_it(editor: Editor) -> None:
    for name in ("gpt-image-1", "dall-e-2"):
        outcome_of(HttpModel(card_of_service(f"{editor.address}/v1/images/edits#{name}")))
    first, second = editor.asked
    assert "response_format" not in first.fields and first.text("size") == "1536x1024"
    assert second.text("response_format") == "b64_json" and second.text("size") == "1024x1024"


def test_the_key_of_the_environment_is_sent_as_a_bearer(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_MODEL_KEY", f"{KEY}\n")
    outcome_of(generator_of(editor))
    assert editor.asked[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_that_no_header_can_hold_is_refused_without_being_said(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANPLATE_MODEL_KEY", "sk-one\r\nX-Other: sk-two")
    with pytest.raises(RunError) as raised:
        http_calls.model_key()
    assert raised.value.code == "option_invalid" and "sk-" not in str(raised.value)
    outcome = outcome_of(generator_of(editor))
    assert isinstance(outcome, RunError) and "sk-" not in str(outcome) and not editor.asked


# --- what is taken


@pytest.mark.parametrize("size", [(120, 40), (33, 170), (64, 64), (1, 9), (1800, 1100)])
def test_a_fill_has_the_crops_size_and_only_the_hole_is_the_models(editor: Editor, size: tuple[int, int]) -> None:
    request = request_of(*size)
    outcome = outcome_of(generator_of(editor), request)
    assert isinstance(outcome, Filled)
    hole = hole_of(request.mask) > 0
    assert outcome.pixels.shape == request.pixels.shape
    assert np.array_equal(outcome.pixels[~hole], request.pixels[~hole])
    assert np.abs(outcome.pixels[hole].astype(int) - COLOUR).max(initial=0) <= 40


def test_an_answer_of_another_size_and_the_same_proportions_is_resampled(editor: Editor) -> None:
    editor.script = lambda number, asked: answered(np.full((512, 768, 3), COLOUR, np.uint8))
    request = request_of()
    outcome = outcome_of(generator_of(editor), request)
    assert isinstance(outcome, Filled) and (outcome.pixels[hole_of(request.mask) > 0] == COLOUR).all()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"hello"),
        (200, {}, b'{"data": []}'),
        (200, {}, b'{"data": [{"url": "http://elsewhere/a.png"}]}'),
        (200, {}, b'{"data": [{"b64_json": "bm8gcGljdHVyZQ=="}]}'),
        (200, {}, b'{"data": [{"b64_json": "%%%"}]}'),
        (200, {}, b"[" * 100_000),
        answered(np.zeros((64, 64, 3), np.uint8)),
    ],
    ids=["text", "empty", "address", "no picture", "no base64", "deep", "square"],
)
def test_what_is_no_picture_of_the_right_shape_is_invalid(editor: Editor, answer: Answer) -> None:
    editor.script = lambda number, asked: answer
    assert failure_of(generator_of(editor)).code == "answer_invalid"
    assert len(editor.asked) == 1


def test_an_answer_that_is_too_large_is_not_read_to_its_end(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "MOST_BYTES", 100_000)
    editor.script = lambda number, asked: (200, {}, b"x" * 1_000_000)
    failure = failure_of(generator_of(editor))
    assert failure.code == "answer_invalid" and "more than 100000 bytes" in failure.message


def test_a_picture_that_unpacks_to_far_too_many_pixels_is_invalid(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_model, "LIMITS", replace(http_model.LIMITS, max_pixels=1000))
    assert failure_of(generator_of(editor)).code == "answer_invalid"


def test_one_of_several_fails_alone_and_no_request_is_sent_twice(editor: Editor) -> None:
    def script(number: int, asked: Asked) -> Answer:
        return failed(400, "unsafe") if (asked.picture("image") > 150).mean() > 0.9 else filled(asked)

    editor.script = script
    requests = [request_of(seed=1), request_of(seed=2, level=200), request_of(seed=3)]
    outcomes = fill_all(generator_of(editor), requests)
    assert [type(outcome) for outcome in outcomes] == [Filled, Failure, Filled]
    assert len(editor.asked) == 3


# --- what ends a fill


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_a_refusal_is_not_asked_again(editor: Editor, status: int) -> None:
    editor.script = lambda number, asked: failed(status, "not this\npicture")
    failure = failure_of(generator_of(editor))
    assert failure.code == "call_refused" and f"answers {status}: not this picture" in failure.message
    assert len(editor.asked) == 1


def test_no_credit_is_a_refusal_although_its_status_says_later(editor: Editor) -> None:
    editor.script = lambda number, asked: (429, {}, b'{"error": {"code": "insufficient_quota", "message": "pay"}}')
    assert failure_of(generator_of(editor)).code == "call_refused" and len(editor.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(editor: Editor, status: int) -> None:
    editor.script = lambda number, asked: failed(status) if number < 2 else filled(asked)
    assert isinstance(outcome_of(generator_of(editor)), Filled)
    assert len(editor.asked) == 3


def test_a_server_that_stays_busy_is_asked_a_bounded_number_of_times(editor: Editor) -> None:
    editor.script = lambda number, asked: failed(503)
    failure = failure_of(generator_of(editor))
    assert failure.code == "call_failed" and "503" in failure.message
    assert len(editor.asked) == http_calls.TRIES


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_is_waited_for(editor: Editor, how: str) -> None:
    seconds = 1.2 if how == "seconds" else 2.5
    value = "1.2" if how == "seconds" else email.utils.formatdate(time.time() + seconds, usegmt=True)
    editor.script = lambda number, asked: failed(429, Retry_After=value) if number == 0 else filled(asked)
    assert isinstance(outcome_of(generator_of(editor)), Filled)
    assert editor.times[1] - editor.times[0] >= 1.2


def test_retry_after_makes_the_others_wait_too(editor: Editor) -> None:
    editor.script = lambda number, asked: failed(429, Retry_After="1") if number == 0 else filled(asked)
    generator = generator_of(editor, limits=CallLimits(at_once=1))
    outcomes = fill_all(generator, [request_of(seed=1)])
    editor.script = lambda number, asked: failed(429, Retry_After="1") if number == 2 else filled(asked)
    waiting = threading.Thread(target=lambda: fill_all(generator_of(editor), [request_of(seed=2)]))
    waiting.start()
    while len(editor.asked) < 3:
        time.sleep(0.01)
    time.sleep(0.2)
    fill_all(generator_of(editor), [request_of(seed=3)])
    waiting.join()
    assert isinstance(outcomes[0], Filled)
    assert min(editor.times[3:]) - editor.times[2] >= 1.0


def test_a_server_that_asks_for_an_hour_is_taken_not_to_answer(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "LONGEST_WAIT_SECONDS", 0.5)
    editor.script = lambda number, asked: failed(429, Retry_After="3600")
    start = time.monotonic()
    assert failure_of(generator_of(editor)).code == "call_failed"
    assert time.monotonic() - start < 5 and len(editor.asked) == 1


def test_a_server_that_is_silent_is_given_up_in_time(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "TRY_SECONDS", 0.3)

    def silent(number: int, asked: Asked) -> Answer:
        time.sleep(1)
        return filled(asked)

    editor.script = silent
    start = time.monotonic()
    failure = failure_of(generator_of(editor))
    assert failure.code == "call_failed" and "imeout" in failure.message + "Timeout"
    assert time.monotonic() - start < 4 and len(editor.asked) == http_calls.TRIES


def test_no_try_begins_after_the_patience_with_an_image(editor: Editor) -> None:
    editor.script = lambda number, asked: failed(503, Retry_After="2")
    assert failure_of(generator_of(editor, until=time.monotonic() + 1)).code == "call_failed"
    assert len(editor.asked) == 1


def test_an_address_where_nobody_listens_fails_and_costs_nothing(editor: Editor, tmp_path: Path) -> None:
    card = card_of_service("http://127.0.0.1:9/v1/images/edits#painter")
    outcome = outcome_of(HttpModel(card, CallLimits(call_cost=1), str(tmp_path)))
    assert isinstance(outcome, Failure) and outcome.code == "call_failed" and "refused" in outcome.message
    assert totals_of(str(tmp_path))[card.alias].calls == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_place_gets_neither_the_key_nor_the_picture(
    editor: Editor, other_editor: Editor, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("CLEANPLATE_MODEL_KEY", KEY)
    editor.script = lambda number, asked: failed(status, Location=f"{other_editor.address}/v1/images/edits?k={KEY}")
    failure = failure_of(generator_of(editor))
    assert failure.code == "call_refused" and other_editor.address in failure.message and KEY not in failure.message
    assert not other_editor.asked


def test_a_redirect_within_the_host_is_followed(editor: Editor) -> None:
    editor.script = lambda number, asked: failed(308, Location="/v2/edits") if number == 0 else filled(asked)
    assert isinstance(outcome_of(generator_of(editor)), Filled)
    assert [asked.path for asked in editor.asked] == ["/v1/images/edits", "/v2/edits"]


def test_redirects_in_a_circle_end(editor: Editor) -> None:
    editor.script = lambda number, asked: failed(307, Location="/v1/images/edits")
    assert failure_of(generator_of(editor)).code == "call_refused"


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_repeats_the_key_does_not_get_it_into_a_failure(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("CLEANPLATE_MODEL_KEY", KEY)
    # At this length of text a cut would leave the beginning of the key.
    text = "x" * (http_calls.MESSAGE_LETTERS - 10) + KEY
    editor.script = lambda number, asked: failed(status, text)
    assert KEY[:6] not in str(failure_of(generator_of(editor)))


# --- limits


def test_calls_at_once_are_bounded_over_all_generators(editor: Editor) -> None:
    def slow(number: int, asked: Asked) -> Answer:
        time.sleep(0.2)
        return filled(asked)

    editor.script = slow
    limits = CallLimits(at_once=2)
    threads = [
        threading.Thread(target=lambda first=first: fill_all(generator_of(editor, limits=limits), [request_of(seed=first)]))
        for first in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(editor.asked) == 6 and editor.most_at_once == 2


def test_the_requests_of_an_image_are_asked_at_the_same_time(editor: Editor) -> None:
    barrier = threading.Barrier(3, timeout=20)

    def together(number: int, asked: Asked) -> Answer:
        barrier.wait()
        return filled(asked)

    editor.script = together
    outcomes = fill_all(generator_of(editor), [request_of(seed=seed) for seed in range(3)])
    assert all(isinstance(outcome, Filled) for outcome in outcomes) and len(editor.asked) == 3


def test_calls_a_minute_are_bounded(editor: Editor) -> None:
    fill_all(generator_of(editor, limits=CallLimits(per_minute=120)), [request_of(seed=seed) for seed in range(4)])
    times = sorted(editor.times)
    assert times[-1] - times[0] >= 3 * 0.5 - 0.05


def test_the_budget_of_calls_holds_over_processes_and_refusals_do_not_count(editor: Editor, tmp_path: Path) -> None:
    dest, limits = str(tmp_path / "out"), CallLimits(most_calls=3, call_cost=0.25)
    editor.script = lambda number, asked: failed(400) if number == 0 else filled(asked)
    alone = CallLimits(3, call_cost=0.25, at_once=1)
    outcomes = fill_all(generator_of(editor, limits=alone, dest=dest), [request_of(seed=seed) for seed in range(3)])
    assert [type(outcome) for outcome in outcomes] == [Failure, Filled, Filled]
    account_of.__globals__["_accounts"].clear()  # another process
    outcomes = fill_all(generator_of(editor, limits=alone, dest=dest), [request_of(seed=seed) for seed in range(10, 13)])
    assert [type(outcome) for outcome in outcomes] == [Filled, CallsSpentError, CallsSpentError]
    assert len(editor.asked) == 4
    totals = totals_of(dest)[editor.alias]
    assert (totals.calls, totals.answers, totals.cost) == (3, 3, 0.75)
    assert limits.most_calls == totals.calls


def test_the_budget_of_money_counts_what_the_server_says_a_call_costs(editor: Editor, tmp_path: Path) -> None:
    def priced(number: int, asked: Asked) -> Answer:
        status, headers, data = filled(asked, model="painter-2026-01")
        return status, {**headers, "x-litellm-response-cost": "0.03"}, data

    editor.script = priced
    limits = CallLimits(most_cost=0.1, call_cost=0.04, at_once=1)
    outcomes = fill_all(generator_of(editor, limits=limits, dest=str(tmp_path)), [request_of(seed=seed) for seed in range(5)])
    # After two calls 0.06 are spent, so a third may begin; after three 0.09, so no fourth.
    assert [type(outcome) for outcome in outcomes] == [Filled, Filled, Filled, CallsSpentError, CallsSpentError]
    assert isinstance(outcomes[0], Filled) and outcomes[0].figures == (("call_cost", 0.03),)
    totals = totals_of(str(tmp_path))[editor.alias]
    assert totals.cost == pytest.approx(0.09) and totals.reported == {"painter-2026-01": 3}


def test_an_answer_that_was_paid_for_is_kept_and_not_asked_for_again(editor: Editor, tmp_path: Path) -> None:
    limits = CallLimits(most_calls=1, call_cost=0.5)
    first = outcome_of(generator_of(editor, limits=limits, dest=str(tmp_path)))
    editor.script = lambda number, asked: failed(500)
    again = outcome_of(generator_of(editor, limits=limits, dest=str(tmp_path)))
    assert isinstance(first, Filled) and isinstance(again, Filled)
    assert np.array_equal(first.pixels, again.pixels) and first.figures == again.figures == (("call_cost", 0.5),)
    assert len(editor.asked) == 1
    assert isinstance(outcome_of(generator_of(editor, limits=limits, dest=str(tmp_path)), request_of(seed=2)), CallsSpentError)


# --- addresses


def test_an_address_names_a_card_that_no_shipped_model_has(editor: Editor) -> None:
    card = resolve("https://Host.example:8443/v1/images/edits#some/model-1")
    assert card.alias == "some-model-1@host.example-8443" and card.family == "http_model" and card.service is not None
    assert card.service.model == "some/model-1" and card.service.address == "https://Host.example:8443/v1/images/edits"


@pytest.mark.parametrize(
    "reference",
    [
        "https://user:sk-secret@host/v1/images/edits#m",
        "https://host/v1/images/edits?api-key=sk-secret#m",
        "https://host/v1/images/edits",
        "https://host/v1/images/edits#",
        "https:///v1/images/edits#m",
        "http://host:no/v1/images/edits#m",
    ],
)
def test_an_address_with_a_secret_or_without_a_host_or_model_is_refused(reference: str) -> None:
    with pytest.raises(RunError) as raised:
        resolve(reference)
    assert raised.value.code == "option_invalid" and "sk-secret" not in str(raised.value)
