"""An image that kills its process is rolled back alone.

It is found, tried once more in isolation, and recorded; its neighbours are delivered.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from operators.ledger import ledger
from operators.rows.failure import CODES
from tests.faults.poison_flow import POISONS

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures

PLACES = {b"crash": 3, b"hang": 9, b"fill": 14}
"""The number of the picture that each poison is appended to."""
IMAGES = 24
FLOW = Path(__file__).parent / "poison_flow.py"
PROFILE = """
name: poison
placement: fused
images_per_block: 6
image: {seconds: {decoder: 8}, memory: 512MiB}
stages:
  worker: {cpus: 1, pool: [2, 2]}
"""


@dataclass(frozen=True)
class Poisoned:
    """A run over poisoned pictures, and the same command again."""

    ended: CommandResult
    again: CommandResult
    rows: dict[str, dict[str, Any]]
    source: Path
    dest: Path


@pytest.fixture(scope="module")
def poisoned(cleanplate: Command, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Poisoned:
    """Run a flow twice over healthy pictures and one picture per poison, each in another block."""
    root = tmp_path_factory.mktemp("poison")
    (root / "in").mkdir()
    for number in range(IMAGES):
        pictures.plain(number, (40, 30)).save(root / "in" / f"{number:02d}.png")
    for poison, place in PLACES.items():
        with (root / "in" / f"{place:02d}.png").open("ab") as file:
            file.write(poison)
    (root / "poison.yaml").write_text(PROFILE)
    command = ("run", f"{FLOW}:flow", root / "in", root / "out", "--profile", root / "poison.yaml")
    # A slow machine would print progress lines; without them, `err` contains faults only.
    ended = cleanplate(*command, environment={"CLEANPLATE_PROGRESS_SECONDS": "3600"}, most_seconds=400)
    rows = {row["path"]: row for row in ledger.read(str(root / "out")).to_pylist()}
    return Poisoned(ended, cleanplate(*command), rows, root / "in", root / "out")


def test_the_run_ends_well(poisoned: Poisoned) -> None:
    assert poisoned.ended.code == 0, poisoned.ended.err
    assert poisoned.ended.out.startswith(
        f"{IMAGES} images, {IMAGES - 3} untouched, 3 rolled back | memory_limit 1, time_limit 1, wor"
    )


@pytest.mark.parametrize("poison", POISONS, ids=bytes.decode)
def test_each_poison_is_rolled_back_with_its_code_and_delivered_as_it_came(poisoned: Poisoned, poison: bytes) -> None:
    row = poisoned.rows[f"{PLACES[poison]:02d}.png"]
    assert (row["verdict"], row["reasons"]) == ("rolled_back", [POISONS[poison]])
    assert (row["failure"]["operator"], row["failure"]["code"]) == ("decoder", POISONS[poison])
    assert not CODES[row["failure"]["code"]].transient
    assert (poisoned.dest / "images" / row["path"]).read_bytes() == (poisoned.source / row["path"]).read_bytes()


def test_a_crash_is_recorded_with_its_signal(poisoned: Poisoned) -> None:
    assert poisoned.rows[f"{PLACES[b'crash']:02d}.png"]["failure"]["message"] == "its process ended (SIGSEGV)"


def test_all_other_images_are_delivered_unchanged(poisoned: Poisoned) -> None:
    healthy = [f"{number:02d}.png" for number in range(IMAGES) if number not in PLACES.values()]
    assert {poisoned.rows[path]["verdict"] for path in healthy} == {"untouched"}
    for path in healthy:
        assert (poisoned.dest / "images" / path).read_bytes() == (poisoned.source / path).read_bytes()


def test_every_image_has_one_row(poisoned: Poisoned) -> None:
    assert sorted(poisoned.rows) == [f"{number:02d}.png" for number in range(IMAGES)]
    assert ledger.read(str(poisoned.dest)).num_rows == IMAGES


def test_a_second_run_does_not_try_the_poison_again(poisoned: Poisoned) -> None:
    assert (poisoned.again.code, poisoned.again.used_ray) == (0, False)
    assert poisoned.again.out.startswith(f"{IMAGES} images, {IMAGES} done before")


def test_the_summary_is_the_only_output(poisoned: Poisoned) -> None:
    assert poisoned.ended.out.count("\n") == 1
    assert poisoned.ended.err == ""


def test_no_child_is_left_behind(poisoned: Poisoned) -> None:
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if "flows.engine.quarantine" in (process.info["cmdline"] or [])
    ]
