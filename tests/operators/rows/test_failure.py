"""Failure codes, and the errors that carry them."""

import pickle
import re

import pytest

from operators.rows.failure import CODES, Failure, RunError, failure_of


def test_an_unlisted_code_cannot_be_raised():
    with pytest.raises(KeyError):
        Failure("made_up", "no")


def test_a_failure_keeps_its_code_and_its_message():
    failure = Failure("truncated", "12 bytes missing")
    assert (failure.code, failure.message, str(failure)) == ("truncated", "12 bytes missing", "truncated: 12 bytes missing")


def test_codes_are_plain_words_with_a_meaning():
    for code, entry in CODES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert entry.meaning


def test_every_code_has_the_verdict_of_an_image_that_was_not_edited():
    assert {entry.verdict for entry in CODES.values()} == {"failed", "skipped", "rolled_back"}
    assert all(entry.delivered is (entry.verdict != "failed") for entry in CODES.values())


def test_of_the_images_that_another_run_retries_those_without_memory_or_an_outside_answer_were_delivered():
    assert [code for code, entry in CODES.items() if entry.transient and entry.delivered] == ["call_failed", "out_of_memory"]


@pytest.mark.parametrize("code", ["access_denied", "storage_error", "disk_full", "out_of_memory", "worker_lost"])
def test_storage_memory_and_lost_workers_are_transient(code):
    assert CODES[code].transient


@pytest.mark.parametrize("code", ["file_empty", "not_an_image", "truncated", "corrupt", "decompression_bomb", "key_missing"])
def test_an_image_that_cannot_be_read_is_final_and_not_delivered(code):
    assert not CODES[code].transient
    assert not CODES[code].delivered


@pytest.mark.parametrize("code", ["animated", "multi_page", "pixels_over_limit", "bytes_over_limit", "mode_unsupported"])
def test_an_image_that_is_not_eligible_for_editing_is_delivered(code):
    assert CODES[code].delivered


def test_an_edit_that_was_written_wrongly_is_rolled_back_for_good():
    code = CODES["written_wrongly"]
    assert (code.verdict, code.delivered, code.transient) == ("rolled_back", True, False)


@pytest.mark.parametrize("code", ["operator_error", "worker_crashed", "time_limit", "memory_limit"])
def test_an_image_whose_work_went_wrong_is_rolled_back_for_good(code):
    assert (CODES[code].verdict, CODES[code].transient) == ("rolled_back", False)


@pytest.mark.parametrize("code", ["output_path_conflict", "access_denied", "storage_error", "disk_full", "worker_lost"])
def test_an_image_that_the_storage_does_not_give_or_take_is_failed(code):
    assert CODES[code].verdict == "failed"


def test_a_failure_stays_itself():
    failure = Failure("animated", "2 frames")
    assert failure_of(failure) is failure


def test_lack_of_memory_is_transient():
    assert failure_of(MemoryError()).code == "out_of_memory"


def test_any_other_exception_is_an_operator_error_that_names_it():
    failure = failure_of(ZeroDivisionError("division by zero"))
    assert failure.code == "operator_error"
    assert failure.message == "ZeroDivisionError: division by zero"


def test_a_run_error_knows_its_exit_code():
    assert RunError("source_missing", "there is no x").exit_code == 2
    assert RunError("storage_error", "gone", exit_code=3).exit_code == 3


def test_a_run_error_reaches_the_driver_as_it_left_the_worker():
    error = pickle.loads(pickle.dumps(RunError("model_unavailable", "no network", exit_code=3)))
    assert (error.code, error.message, error.exit_code, str(error)) == (
        "model_unavailable",
        "no network",
        3,
        "model_unavailable: no network",
    )
