"""The work on one request, in a worker process that keeps its models open."""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from flows.ladder import Rung, rungs_of, second_look
from flows.one_picture import MASK_NAME, Edit, OpenFlow, edit_picture
from flows.serve.wishes import REGIONS, Find, Wish
from operators.decisions.budget import Rate
from operators.models.threads import use_one_thread
from operators.pictures.codec import Limits, format_of
from operators.rows.deadline import allow_decoding_deadlines
from operators.rows.failure import CODES, Failure, RunError
from operators.storage.disposable import disposable_folder

MOST_FLOWS = 16
"""Open flows that a worker keeps; the models below them stay loaded."""


@dataclass(frozen=True)
class Task:
    """One picture and what is asked for it."""

    wish: Wish
    data: bytes
    mask: bytes | None = None
    limits: Limits = Limits()
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What became of a picture."""

    data: bytes
    """The picture as a file: the source itself if nothing was edited."""
    verdict: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    regions: tuple[dict[str, Any], ...] = ()
    failure: dict[str, str] | None = None
    width: int | None = None
    height: int | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The type of the file, by its first bytes."""
        format = format_of(self.data)
        ending = "" if format is None else format.extension
        return MEDIA_TYPES.get(ending, "application/octet-stream")


MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".jxl": "image/jxl",
    ".jp2": "image/jp2",
}


class WrongRequest(Exception):
    """A request that is wrong, with a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


_flows: OrderedDict[tuple[str, Limits, tuple[Rate, ...]], OpenFlow] = OrderedDict()


@functools.cache
def _mask_folder() -> str:
    return str(disposable_folder("cleanplate-mask-"))


def start() -> None:
    """Prepare a worker: it may be lost to a deadline, and it computes in one thread."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allow_decoding_deadlines()
    use_one_thread()


def warm(wish: Wish, limits: Limits) -> None:
    """Open the flow of a wish, so that the first request does not wait for its models."""
    _open(Task(wish, b"", limits=limits))


def measured_rates(preset: str, model: str | None) -> tuple[Rate, ...]:
    """The rates of a ladder on this machine, for budgets."""
    from flows.engine.fill_rates import measure_rates

    rungs: tuple[Rung, ...] = rungs_of(preset, model)
    return measure_rates((*rungs, *second_look(rungs)))


def work(task: Task) -> Answer:
    """Work one task. Raises WrongRequest for a wrong option, mask or picture."""
    try:
        flow = _open(task)
        if task.mask is not None:
            with open(f"{_mask_folder()}/{MASK_NAME}", "wb") as file:
                file.write(task.mask)
        own = {REGIONS: task.wish.given} if task.wish.given else None
        edit = edit_picture(task.data, flow, isinstance(task.wish, Find), own)
    except (RunError, Failure) as error:
        raise WrongRequest(error.code, error.message) from None
    if edit.failure is not None and (edit.failure.code.startswith("mask_") or edit.failure.code == "regions_unfit"):
        raise WrongRequest(edit.failure.code, edit.failure.message)
    return _answer(edit)


def rolled_back(task: Task, code: str, message: str) -> Answer:
    """The original, where the work on it came to nothing."""
    return Answer(task.data, CODES[code].verdict, (code,), failure={"code": code, "message": message})


def _open(task: Task) -> OpenFlow:
    key = (f"{type(task.wish).__name__}{task.wish.model_dump_json(exclude={'url'})}", task.limits, task.rates)
    if task.wish.given:  # the regions are in the row, not in the flow
        key = (f"{type(task.wish).__name__}{task.wish.model_dump_json(exclude={'url', 'regions'})} given", *key[1:])
    if key in _flows:
        _flows.move_to_end(key)
    else:
        _flows[key] = OpenFlow(task.wish.flow(task.limits, task.rates, _mask_folder()))
        while len(_flows) > MOST_FLOWS:
            _flows.popitem(last=False)
    return _flows[key]


def _answer(edit: Edit) -> Answer:
    regions = tuple(
        {
            "polygons": [[list(corner) for corner in polygon] for polygon in region.polygons],
            "kind": region.kind,
            "score": region.score,
            "text": region.text,
            "state": region.state,
            "reason": region.reason,
            "rung": region.rung,
        }
        for region in edit.regions
    )
    failure = None if edit.failure is None else {"code": edit.failure.code, "message": edit.failure.message}
    milliseconds = {name: round(value, 1) for name, value in edit.milliseconds.items()}
    return Answer(edit.data, edit.verdict, edit.reasons, edit.notes, regions, failure, edit.width, edit.height, milliseconds)
