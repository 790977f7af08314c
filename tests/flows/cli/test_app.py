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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_the_completion_of_a_shell_is_printed(shell: str, cleanplate: Command) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # as an argument, not by the shell that calls
    ended = cleanplate("--show-completion", shell, environment=named)
    assert (ended.code, ended.err) == (0, "")
    assert f"_CLEANPLATE_COMPLETE=complete_{shell}" in ended.out


@pytest.mark.parametrize(
    ("typed", "offered"), [("cleanplate ev", {"evaluate"}), ("cleanplate erase --pre", {"--preset", "--previews"})]
)
def test_the_shell_completes_commands_and_options(typed: str, offered: set[str], cleanplate: Command) -> None:
    asked = {"_CLEANPLATE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    ended = cleanplate(environment=asked)
    assert (ended.code, ended.err) == (0, "")
    assert set(ended.out.split()) == offered
