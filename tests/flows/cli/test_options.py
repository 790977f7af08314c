"""Groups of options: a command receives one object per group; help shows each option once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.options import FileOptions, FillOptions, PageOptions, RunOptions, SizeOptions, with_options
from operators.pictures.codec import Limits

RUN = CliRunner()
GROUP: Any = typer.main.get_command(app)
WIDE = {"COLUMNS": "200"}


@dataclass(frozen=True)
class Lens:
    """A group of options of another kind each."""

    length: Annotated[int, typer.Option(min=1, help="Millimetres.")] = 50
    maker: Annotated[str | None, typer.Option(help="Who made it.")] = None
    manual: Annotated[bool, typer.Option("--manual", help="Focus by hand.")] = False


@dataclass(frozen=True)
class Film:
    """A second group."""

    speed: Annotated[float, typer.Option("--iso", help="Speed.")] = 400


Received = list[tuple[str, Lens, Film, int]]


@pytest.fixture
def camera() -> tuple[typer.Typer, Received]:
    """A command of two groups between an argument and an option, and what it has received."""
    received: Received = []
    camera = typer.Typer()

    @camera.command()
    @with_options
    def shoot(
        subject: Annotated[str, typer.Argument()], lens: Lens, film: Film, frames: Annotated[int, typer.Option()] = 1
    ) -> None:
        """Take pictures."""
        received.append((subject, lens, film, frames))

    return camera, received


def test_a_command_receives_one_object_per_group(camera: tuple[typer.Typer, Received]) -> None:
    command, received = camera
    answer = RUN.invoke(command, ["moon", "--iso", "50", "--length", "300", "--manual", "--maker", "Zeiss", "--frames", "3"])
    assert answer.exit_code == 0, answer.output
    assert received == [("moon", Lens(300, "Zeiss", True), Film(50.0), 3)]


def test_defaults_of_the_groups_hold(camera: tuple[typer.Typer, Received]) -> None:
    command, received = camera
    assert RUN.invoke(command, ["moon"]).exit_code == 0
    assert received == [("moon", Lens(), Film(), 1)]


@pytest.mark.parametrize("arguments", [["moon", "--length", "0"], ["moon", "--iso", "fast"], [], ["moon", "--lens", "x"]])
def test_an_option_of_a_group_is_checked_as_any_other(camera: tuple[typer.Typer, Received], arguments: list[str]) -> None:
    command, received = camera
    assert RUN.invoke(command, arguments).exit_code == 2
    assert received == []


def test_the_name_and_the_docstring_of_the_command_are_kept() -> None:
    @with_options
    def shoot(lens: Lens) -> None:
        """Take pictures."""

    assert (shoot.__name__, shoot.__doc__) == ("shoot", "Take pictures.")


def test_a_command_without_groups_stays_as_it_is() -> None:
    received: list[int] = []

    @with_options
    def count(frames: Annotated[int, typer.Option()] = 1) -> None:
        received.append(frames)

    command = typer.Typer()
    command.command()(count)
    assert RUN.invoke(command, ["--frames", "7"]).exit_code == 0
    assert received == [7]


def options_of(help_text: str) -> list[str]:
    return re.findall(r"^│\s+(?:\*\s+)?(--[a-z0-9-]+)", help_text, re.MULTILINE)


def test_help_shows_every_option_of_a_group_once_with_its_default(camera: tuple[typer.Typer, Received]) -> None:
    text = RUN.invoke(camera[0], ["--help"], env=WIDE).output
    shown = [name for name in options_of(text) if name in {"--length", "--maker", "--manual", "--iso", "--frames"}]
    assert shown == ["--length", "--maker", "--manual", "--iso", "--frames"]
    assert "[default: 50]" in text
    assert not re.search(r"--lens|--film", text)


CALLS = ("--max-calls", "--max-cost", "--call-cost", "--calls-per-minute", "--calls-at-once")
FILL = ("--preset", "--model", "--prompt", "--budget-ms", "--seed", *CALLS)
RUNS = (
    *("--profile", "--limit", "--workers", "--fresh", "--include", "--exclude", "--output-column"),
    *("--dry-run", "--quiet", "--json", "--allow", "--part"),
)
FILE = ("--previews", "--c2pa-key", "--c2pa-cert", "--to-format", "--to")
SIZE = tuple(f"--max-{name}" for name in "pixels bytes scans metadata-bytes frames directories decode-seconds".split())
PAGES = (*SIZE, "--pages")
SELECTING = "only keep kind script zone not-zone height width size angle opacity score most rules no-text regions no-detect"
SELECT = tuple(f"--{name}" for name in SELECTING.split())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "erase",
            {"--fill", "--accept", "--detector", "--same", "--mark", "--see-through", *FILL, *RUNS, *PAGES, *SELECT, *FILE},
        ),
        ("find", {"--read", "--masks", "--detector", "--same", *RUNS, *PAGES, *SELECT}),
        ("preview", {"--detector", "--limit", "--out", "--allow", *SIZE, *SELECT}),
        ("inpaint", {"--masks", "--mask-name", "--gate", "--fill", *FILL, *RUNS, *PAGES, *FILE}),
        ("enlarge", {"--scale", "--print", "--dpi", "--model", "--threshold", *RUNS, *SIZE, *FILE[1:]}),
        ("run", {*RUNS}),
    ],
)
def test_every_command_shows_the_options_of_its_groups_once(command: str, expected: set[str]) -> None:
    answer = RUN.invoke(app, [command, "--help"], env=WIDE)
    assert answer.exit_code == 0
    shown = options_of(answer.output)
    assert len(shown) == len(set(shown))
    assert set(shown) == expected | {"--help"}


@pytest.mark.parametrize("group", [FileOptions, FillOptions, RunOptions, SizeOptions, PageOptions])
def test_every_option_of_the_groups_has_a_default(group: Callable[[], object]) -> None:
    assert group() == group()


def test_size_options_are_limits() -> None:
    assert SizeOptions().limits == Limits()
    assert SizeOptions(7, 9).limits == Limits(7, 9)
    assert PageOptions(7, 9, pages="first").limits == Limits(7, 9, pages="first")


EVERY = [*([name] for name in GROUP.commands), *(["models", name] for name in GROUP.commands["models"].commands), []]
every_command = pytest.mark.parametrize("command", EVERY, ids=[" ".join(["cleanplate", *command]) for command in EVERY])


@every_command
def test_the_help_cuts_nothing_in_80_columns(command: list[str]) -> None:
    text = RUN.invoke(app, [*command, "--help"], env={**WIDE, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    assert max(map(len, text.splitlines())) == 80
    assert "…" not in text


@every_command
def test_the_help_of_a_flag_shows_no_value_and_no_type_is_pythons(command: list[str]) -> None:
    text = RUN.invoke(app, [*command, "--help"], env=WIDE).output
    assert re.search(r"--help +Show this message and exit", text)
    assert not re.search(r"--\S+ .*(<bool>|list\[| range>)", text)


def test_the_help_shows_the_plain_type_and_the_range_of_a_value() -> None:
    text = RUN.invoke(app, ["erase", "--help"], env=WIDE).output
    assert re.search(r"--limit +<int> \[x>=1\] +Process only", text)
    assert re.search(r"--keep +<str> +Keep texts", text)
    assert re.search(r"--quiet +-q +Print nothing but errors", text)
