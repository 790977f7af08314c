"""An error is a rollback: what a fill, a mask or a check breaks is delivered as it came."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import operators.describe
import operators.inpaint
import operators.soften
import operators.verify
from flows.erase_text import inpaint_masks
from flows.flow import Flow
from flows.ladder import GATE, Fills, Rung
from operators.generators.catalogue import generator_of
from operators.generators.generator import Request
from operators.ledger import ledger
from operators.rows.failure import Failure
from operators.verify import CheckLimits, Verify
from operators.write import Write

if TYPE_CHECKING:
    from tests.fixtures.cli import Command

DARK, BRIGHT = slice(0, 200), slice(200, 400)
"""The columns of the two halves of the picture, each with one mark to erase."""
MARKS = (slice(90, 110), slice(80, 120)), (slice(90, 110), slice(280, 320))

BROKEN_FLOW = """
from dataclasses import dataclass
from pathlib import Path

from flows.erase_text import inpaint_masks
from flows.flow import Flow
from flows.ladder import GATE, Fills, Rung
from operators.inpaint import Inpaint


class Broken:
    def shape(self, request):
        return request.pixels.shape

    def microbatch(self, request):
        return 2

    def fill(self, requests):
        raise RuntimeError("no kernel image is available\\nCompile with TORCH_USE_CUDA_DSA")


@dataclass(frozen=True)
class BrokenInpaint(Inpaint):
    def load_generator(self):
        return Broken()


masks = str(Path(__file__).parent / "masks")
rungs = (Rung("telea"),)
sound = inpaint_masks(masks, Fills(rungs, accept=GATE)).operators
flow = Flow(tuple(
    BrokenInpaint(one.rung, one.seed, one.prompt, one.card) if isinstance(one, Inpaint) else one for one in sound
))
"""


def picture() -> np.ndarray:
    """A dark and a bright half, with a mark in each."""
    pixels = np.full((200, 400, 3), 40, np.uint8)
    pixels[:, BRIGHT] = 200
    for mark in MARKS:
        pixels[mark] = 255 - pixels[mark]
    return pixels


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one picture in `in` and its mask in `masks`."""
    mask = np.zeros((200, 400), np.uint8)
    for mark in MARKS:
        mask[mark] = 255
    for name, image in (("in", picture()), ("masks", mask)):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "a.png")
    return tmp_path


@pytest.fixture
def deliver(source: Path, index_rows: Callable[..., pa.Table]) -> Callable[..., dict[str, Any]]:
    """Runs a flow over the picture; returns its ledger row with the delivered bytes as `file`."""

    def run(*rungs: str, change: Callable[[Flow], Flow] = lambda flow: flow) -> dict[str, Any]:
        flow = inpaint_masks(str(source / "masks"), Fills(tuple(map(Rung, rungs)), accept=GATE))
        change(flow).then(Write(str(source / "out"))).run(index_rows(source / "in" / "a.png"))
        (row,) = ledger.read(str(source / "out")).to_pylist()
        return {**row, "file": (source / "out" / "images" / "a.png").read_bytes()}

    return run


@pytest.fixture
def break_fills(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the fills of a rung raise an error where `where` says so of a request."""

    def break_(rung: str, error: Exception, where: Callable[[Request], bool] = lambda request: True) -> None:
        def broken_generator(card: Any, folder: Path | None) -> Any:
            sound = generator_of(card, folder)
            if card.alias != rung:
                return sound

            class Broken:
                shape, microbatch = sound.shape, sound.microbatch

                def fill(self, requests: Any) -> Any:
                    if any(map(where, requests)):
                        raise error
                    return sound.fill(requests)

            return Broken()

        monkeypatch.setattr(operators.inpaint, "generator_of", broken_generator)

    return break_


def is_bright(request: Request) -> bool:
    return bool(np.median(request.pixels) > 128)


def regions_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of the dark and of the bright half."""
    return sorted(row["regions"], key=lambda region: int(region["crop"]["x"]))


def test_an_error_in_one_fill_leaves_only_its_text(
    deliver: Callable[..., dict[str, Any]], break_fills: Callable[..., None], source: Path
) -> None:
    break_fills("telea", RuntimeError("no kernel image\nis available"), is_bright)
    row = deliver("telea")
    assert (row["verdict"], row["failure"]) == ("partly_edited", None)
    assert row["texts"] == {"found": 2, "erased": 1, "kept": 0, "refused": 1}
    assert row["reasons"] == ["fill_failed telea: operator_error: RuntimeError: no kernel image"]
    dark, bright = regions_of(row)
    assert (dark["state"], dark["reason"]) == ("erased", None)
    assert (bright["state"], bright["reason"]) == ("refused", row["reasons"][0])
    assert bright["checks"] == [{"rung": "telea", "name": "fill_failed", "value": 1.0, "limit": 0.0, "passed": False}]
    assert (bright["passes"], bright["rung"], bright["repeatable"]) == (1, "telea", False)
    after = np.asarray(Image.open(source / "out" / "images" / "a.png"))
    assert np.array_equal(after[:, BRIGHT], picture()[:, BRIGHT])
    assert np.abs(after[MARKS[0]].astype(int) - 40).max() <= 4


def test_if_every_fill_fails_the_original_is_delivered(
    deliver: Callable[..., dict[str, Any]], break_fills: Callable[..., None], source: Path
) -> None:
    break_fills("telea", Failure("out_of_memory", "not enough memory for a microbatch of one region"))
    row = deliver("telea")
    assert (row["verdict"], row["failure"]) == ("rolled_back", None)
    assert row["reasons"] == ["fill_failed telea: out_of_memory: not enough memory for a microbatch of one region"] * 2
    assert row["file"] == (source / "in" / "a.png").read_bytes()
    assert row["output_sha256"] == hashlib.sha256(row["file"]).hexdigest()
    assert ledger.done_ids(str(source / "out"), 0) == {row["image_id"]}


def test_the_next_rung_fills_what_an_error_left_open(
    deliver: Callable[..., dict[str, Any]], break_fills: Callable[..., None]
) -> None:
    break_fills("telea", RuntimeError("broken"))
    row = deliver("telea", "navier_stokes")
    assert (row["verdict"], row["texts"]["erased"]) == ("edited", 2)
    assert {(region["rung"], region["passes"], region["reason"]) for region in row["regions"]} == {("navier_stokes", 2, None)}
    assert row["reasons"] == ["fill_failed telea: operator_error: RuntimeError: broken"] * 2


def test_a_text_that_is_refused_after_an_error_names_both(
    deliver: Callable[..., dict[str, Any]], break_fills: Callable[..., None]
) -> None:
    def refuse_all(flow: Flow) -> Flow:
        strict = Verify(CheckLimits(structure=-1.0), gated=False)
        return Flow(tuple(strict if isinstance(operator, Verify) else operator for operator in flow.operators))

    break_fills("telea", RuntimeError("broken"), is_bright)
    row = deliver("telea", "navier_stokes", change=refuse_all)
    error = "fill_failed telea: operator_error: RuntimeError: broken"
    assert (row["verdict"], regions_of(row)[1]["reason"]) == ("rolled_back", error)
    others = [reason.partition(" ")[0] + " " + reason.split()[1] for reason in row["reasons"] if reason != error]
    assert sorted(others) == ["navier_stokes: structure", "navier_stokes: structure", "telea: structure"]
    assert row["reasons"].count(error) == 1


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (operators.soften, "Soften._soften"),
        (operators.describe, "Describe._describe"),
        (operators.verify, "measure_region"),
        (operators.verify, "measure_fill"),
    ],
)
def test_a_crash_of_an_operator_delivers_the_original(
    deliver: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, source: Path, module: Any, name: str
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    owner = module
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, last, crash)
    row = deliver("telea")
    assert (row["verdict"], row["reasons"]) == ("rolled_back", ["operator_error"])
    assert row["failure"]["message"] == "ZeroDivisionError: division by zero"
    assert row["file"] == (source / "in" / "a.png").read_bytes()


def test_a_run_whose_fills_all_failed_says_so_and_ends_with_1(cleanplate: Command, source: Path) -> None:
    (source / "flow.py").write_text(BROKEN_FLOW)
    ended = cleanplate("run", f"{source / 'flow.py'}:flow", source / "in", source / "out")
    line = "every fill of telea failed (2 of 2): operator_error: RuntimeError: no kernel image is available"
    assert ended.code == 1, ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"error: fills_failed: 1 image, 1 rolled back | 2 texts: 2 refused | {line} | ")
    assert last.endswith(" | mend the model, then start over with --fresh")
    assert (source / "out" / "images" / "a.png").read_bytes() == (source / "in" / "a.png").read_bytes()
    report = (source / "out" / "report.html").read_text()
    assert line in report
    assert '<td>telea</td><td class="number">2</td><td class="number">2</td>' in report
