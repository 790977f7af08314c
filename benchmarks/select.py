"""Measures how well rules select texts, and whether what stays keeps its pixels.

    python -m benchmarks.select [--scenes 8] [--set tune|report] [--part PART ...] [--out FOLDER]

Texts of known kinds are drawn on product pictures, signs in two scripts, receipts and
screenshots; see `benchmarks.select_scenes`. The part `rules` reports precision and recall of each
rule, by pieces of text. The part `keep` erases all but what a user keeps, and counts the kept
texts of which a pixel changed. The part `private` erases addresses and telephone numbers, once by
continuing the picture and once by blocks, and counts those that the recogniser still reads, and
the other texts of which a pixel changed. The part `cost` times `select` with rules that need no
reading, and with rules that do.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.select_scenes import DRAWN, Known, Scene, fonts
from flows.choose import Choice
from flows.erase_text import cover_text, erase_text
from flows.find_text import look_for_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from flows.step_by_step import index_row
from operators.masks.geometry import rasterised
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.regions import KEPT
from operators.rows.table import Row, row_views
from operators.selection.rule_file import Options
from operators.vision.recogniser import recogniser

RESULTS = Path(__file__).parent / "results" / "select.json"
SEEDS = {"tune": 1, "report": 1001}
"""The seeds of the sets: their scenes differ."""
SELECTED = 0.5
"""Share of a piece's pixels in regions that go, from which the rule has selected it."""
STILL_READ = 0.6
"""Share of a text's characters in the right order, from which it can still be read."""


@dataclass(frozen=True)
class Question:
    """A rule, and the kinds of text that it is meant to erase."""

    name: str
    options: Options
    kinds: tuple[str, ...]
    buckets: tuple[str, ...] = tuple(DRAWN)


QUESTIONS = (
    Question("--only email,phone", Options(only=("email,phone",)), ("email", "phone"), ("screenshot", "receipt")),
    Question("--only email", Options(only=("email",)), ("email",), ("screenshot",)),
    Question("--only price", Options(only=("price",)), ("price",), ("product", "receipt")),
    Question("--only date", Options(only=("date",)), ("date",), ("product", "receipt")),
    Question("--script han,kana", Options(script=("han,kana",)), ("han", "kana"), ("sign",)),
    Question("--script latin", Options(script=("latin",)), ("latin",), ("sign",)),
    Question("--script greek", Options(script=("greek",)), ("greek",), ("sign",)),
)


def scenes(number: int, chosen: str, buckets: Sequence[str] = tuple(DRAWN)) -> Iterator[Scene]:
    """`number` scenes of each bucket."""
    faces = fonts()
    for position, bucket in enumerate(DRAWN):
        if bucket in buckets:
            for count in range(number):
                yield DRAWN[bucket](random.Random(SEEDS[chosen] + 10_000 * position + count), faces)


class Worker:
    """A flow that is open, for pictures in memory."""

    def __init__(self, flow: Flow, folder: Path) -> None:
        self._flow, self._file = flow, folder / "scene.png"
        for operator in flow.operators:
            operator.open()

    def work(self, picture: Pixels) -> tuple[Row, Pixels]:
        """The row of a picture, and the picture as it is delivered."""
        Image.fromarray(picture).save(self._file)
        table: pa.Table = index_row(self._file)
        for operator in self._flow.operators:
            table = operator.apply(table)
        (row,) = row_views(table)
        data = row.data("encoded")
        return row, picture if data is None else np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))


def share_that_goes(row: Row, piece: Known) -> float:
    """The share of a piece's pixels that lie in regions which go, and not in one that stays."""
    frame = Box(0, 0, piece.pixels.shape[1], piece.pixels.shape[0])
    goes, stays = np.zeros(piece.pixels.shape, bool), np.zeros(piece.pixels.shape, bool)
    for region in row.regions:
        inside = rasterised(region["polygons"], frame) > 0
        if region["state"] == KEPT:
            stays |= inside
        else:
            goes |= inside
    return float((goes & ~stays)[piece.pixels].mean())


def can_be_read(picture: Pixels, piece: Known) -> bool:
    """Whether the recogniser reads a piece of text where it was."""
    rows, columns = np.flatnonzero(piece.pixels.any(axis=1)), np.flatnonzero(piece.pixels.any(axis=0))
    top, bottom, left, right = max(0, rows[0] - 4), rows[-1] + 5, max(0, columns[0] - 4), columns[-1] + 5
    read, _ = recogniser().read(np.ascontiguousarray(picture[top:bottom, left:right]))
    blocks = SequenceMatcher(None, piece.text, read, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) >= STILL_READ * len(piece.text)


def measure_rules(number: int, chosen: str, folder: Path) -> list[dict[str, Any]]:
    """Precision and recall of each rule, over pieces of text."""
    lines = []
    for question in QUESTIONS:
        worker = Worker(look_for_text(masks=False, choice=Choice(question.options.selection())), folder)
        counts: dict[str, int] = defaultdict(int)
        wrong = []
        for scene in scenes(number, chosen, question.buckets):
            row, _ = worker.work(scene.picture)
            for piece in scene.pieces:
                selected, meant = share_that_goes(row, piece) > SELECTED, piece.kind in question.kinds
                counts["meant"] += meant
                counts["selected"] += selected
                counts["right"] += meant and selected
                if meant != selected:
                    wrong.append(f"{scene.bucket}: {'missed' if meant else 'taken'} {piece.text!r}")
        lines.append(
            {
                "rule": question.name,
                **counts,
                "precision": counts["right"] / max(1, counts["selected"]),
                "recall": counts["right"] / max(1, counts["meant"]),
                "wrong": wrong,
            }
        )
        figures = f"precision {lines[-1]['precision']:.3f}  recall {lines[-1]['recall']:.3f}"
        print(f"{question.name:22} {counts['meant']:5} meant  {figures}")
    return lines


def measure_keep(number: int, chosen: str, folder: Path) -> dict[str, Any]:
    """How many of the texts that a user keeps changed in any pixel, and how many others went."""
    kept = changed = others = gone = 0
    wrong = []
    for count, scene in enumerate(scenes(number, chosen)):
        keep = {"sign": "latin"}.get(scene.bucket)
        choice = Options(keep=(scene.keep, "price") if scene.bucket == "receipt" else (scene.keep,))
        worker = Worker(erase_text(Fills(PRESETS["fast"]), choice=Choice(choice.selection())), folder)
        _, result = worker.work(scene.picture)
        touched = (result != scene.picture).any(axis=2)
        for piece in scene.pieces:
            stays = piece.kind == "brand" or (piece.kind == "price" and scene.bucket == "receipt")
            stays = stays or (keep is not None and piece.text == scene.keep)
            if stays:
                kept += 1
                if touched[piece.pixels].any():
                    changed += 1
                    wrong.append(f"{scene.bucket} {count}: {piece.text!r} lost {touched[piece.pixels].mean():.2f}")
            else:
                others += 1
                gone += bool(touched[piece.pixels].mean() > SELECTED)
    print(f"--keep: {changed} of {kept} kept texts changed; {gone} of {others} other texts went")
    return {"kept": kept, "changed": changed, "others": others, "gone": gone, "wrong": wrong}


def measure_private(number: int, chosen: str, folder: Path) -> dict[str, Any]:
    """How many addresses and numbers can still be read, and how many other texts changed."""
    choice = Choice(Options(only=("email,phone",)).selection())
    flows = {"erase": erase_text(Fills(PRESETS["fast"]), choice=choice), "pixelate": cover_text("pixelate", choice=choice)}
    results = {}
    for name, flow in flows.items():
        worker = Worker(flow, folder)
        meant = readable = others = touched = 0
        wrong = []
        for count, scene in enumerate(scenes(number, chosen, ("screenshot", "receipt"))):
            row, result = worker.work(scene.picture)
            Image.fromarray(np.hstack([scene.picture, result])).save(folder / f"{name}-{count}.png")
            changed = (result != scene.picture).any(axis=2)
            for piece in scene.pieces:
                if piece.kind in ("email", "phone"):
                    meant += 1
                    if can_be_read(result, piece):
                        readable += 1
                        reasons = [(each["text"], each["state"], each["reason"]) for each in row.regions]
                        wrong.append(f"{scene.bucket} {count}: {piece.text!r} can be read {reasons}")
                else:
                    others += 1
                    if changed[piece.pixels].any():
                        touched += 1
                        wrong.append(f"{scene.bucket} {count}: {piece.text!r} was touched")
        print(f"{name}: {readable} of {meant} can be read; {touched} of {others} other texts touched")
        results[name] = {"meant": meant, "readable": readable, "others": others, "touched": touched, "wrong": wrong}
    return results


def measure_cost(number: int, chosen: str, folder: Path) -> dict[str, dict[str, float]]:
    """The milliseconds of `select`, and of `detect` before it, for a picture."""
    rules = {
        "zone and height": Options(zone=("bottom:100%x50%",), height="5..200"),
        "only email": Options(only=("email",)),
    }
    results = {}
    for name, options in rules.items():
        worker = Worker(look_for_text(masks=False, choice=Choice(options.selection())), folder)
        times: dict[str, list[float]] = defaultdict(list)
        for scene in scenes(number, chosen):
            row, _ = worker.work(scene.picture)
            for timing in row["timings"]:
                times[timing["operator"]].append(timing["total"])
        results[name] = {operator: float(np.mean(values)) for operator, values in times.items()}
        print(f"{name}: select {results[name]['select']:.1f} ms after detect {results[name]['detect']:.0f} ms")
    return results


PARTS: dict[str, Callable[[int, str, Path], Any]] = {
    "rules": measure_rules,
    "keep": measure_keep,
    "private": measure_private,
    "cost": measure_cost,
}


def _wrong_in(content: Any) -> list[str]:
    """What went wrong, line by line, in the results of a part."""
    results = [content, *content.values()] if isinstance(content, dict) else content
    return [line for result in results if isinstance(result, dict) for line in result.get("wrong", ())]


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=8, help="scenes of each bucket")
    parser.add_argument("--set", choices=SEEDS, default="tune")
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("build/select"), help="folder for pictures")
    arguments = parser.parse_args()
    content: dict[str, Any] = {}
    for part in arguments.part:
        # Several commands may measure different parts at the same time.
        folder = arguments.out / part
        folder.mkdir(parents=True, exist_ok=True)
        content[part] = PARTS[part](arguments.scenes, arguments.set, folder)
        for line in _wrong_in(content[part]):
            print("   ", line)
    if arguments.set == "report":
        # Each keeps the results of the others.
        others = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        number = {**others.get("scenes", {}), **dict.fromkeys(arguments.part, arguments.scenes)}
        RESULTS.write_text(json.dumps({**others, **content, "scenes": number}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
