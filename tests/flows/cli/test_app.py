"""The command line as a whole: every command is there, and wrong usage is one line with a code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.cli import Invoke
from tests.flows.cli.conftest import AssertRefused

if TYPE_CHECKING:
    from tests.fixtures.cli import Command

WRONG = {
    "an unknown option": (["erase", "in", "out", "--colour", "red"], "option_invalid", "--colour"),
    "an option that is no number": (["erase", "in", "out", "--seed", "seven"], "option_invalid", "--seed"),
    "an option out of range": (["erase", "in", "out", "--workers", "0"], "option_invalid", "--workers"),
    "an argument too few": (["erase", "in"], "option_invalid", "DEST"),
    "an unknown command": (["remove", "in", "out"], "option_invalid", "remove"),
}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_with_its_code_before_ray_starts(
    assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    assert_refused(arguments, code, named)


def test_a_wrong_command_ends_the_process_with_2_one_line_no_traceback_and_no_ray(workplace: Path, cleanplate: Command) -> None:
    ended = cleanplate("run", "wrong_order.py:flow", "in", "out", cwd=workplace)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err == "error: flow_invalid: detect reads 'bytes', which no operator before it adds\n"
    assert not ended.used_ray


def test_without_a_command_the_help_is_all_that_is_printed(invoke: Invoke) -> None:
    exit_code, out, err = invoke()
    assert exit_code == 2
    assert "Usage:" in out and "erase" in out
    assert "error:" not in out + err


def test_help_names_every_command(invoke: Invoke) -> None:
    exit_code, out, _ = invoke("--help")
    assert exit_code == 0
    assert all(command in out for command in ("erase", "inpaint", "run"))
