"""The work on one request, in a worker process that keeps its models open."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flows.choose_in_python import REGIONS
from flows.flow import Flow
from flows.ladder import Rung, rungs_of, second_look
from flows.one_picture import Edit, OpenFlow, edit_pictures, mask_name
from flows.serve.wishes import Filling, Find, Wish
from operators.decisions.budget import Rate
from operators.generators.call_account import USUAL_CALLS, CallLimits
from operators.inpaint import Inpaint
from operators.models.registry import resolve
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
    calls: CallLimits = CallLimits(USUAL_CALLS)
    """What the calls of the service to models over HTTP may cost."""
    calls_in: str = ""
    """Where all workers count these calls; see `call_account`."""

    @property
    def kind(self) -> Hashable:
        """What tasks have in common that one open flow works; the regions are in their rows."""
        left_out = {"url", "regions"} if self.wish.given else {"url"}
        wish = self.wish.model_dump_json(exclude=left_out)
        return type(self.wish).__name__, wish, bool(self.wish.given), self.limits, self.rates


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


_flows: OrderedDict[Hashable, OpenFlow] = OrderedDict()


@functools.cache
def _mask_folder() -> str:
    return str(disposable_folder("cleanplate-mask-"))


def start() -> None:
    """Prepare a worker: it ends with the service or by a deadline, and computes in one thread."""
    import signal

    from flows.engine.quarantine import die_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
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


def batch_size(wish: Wish) -> int:
    """How many pictures with this wish share a batch of a model of its ladder. Raises RunError.

    1 where batching gains nothing, as for the shipped presets (see docs/serve.md).
    """
    if not isinstance(wish, Filling) or wish.fill is not None:
        return 1
    return _batch_of_ladder(wish.preset, wish.model)


@functools.lru_cache(maxsize=100)
def _batch_of_ladder(preset: str, model: str | None) -> int:
    return max(resolve(rung.model).microbatch for rung in rungs_of(preset, model))


def work(tasks: Sequence[Task]) -> list[Answer | WrongRequest]:
    """Work tasks of one `kind` together.

    A wrong option, mask or picture has its WrongRequest in the place of an answer.
    """
    try:
        flow, finds = _open(tasks[0]), isinstance(tasks[0].wish, Find)
        for number, task in enumerate(tasks):
            if task.mask is not None:
                file = Path(_mask_folder(), mask_name(number))
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(task.mask)
        own = [{REGIONS: task.wish.given} for task in tasks] if tasks[0].wish.given else []
        edits = edit_pictures([task.data for task in tasks], flow, finds, own)
    except (RunError, Failure) as error:
        return [WrongRequest(error.code, error.message)] * len(tasks)
    return list(map(_outcome, edits))


def _outcome(edit: Edit | Failure) -> Answer | WrongRequest:
    if isinstance(edit, Failure):
        return WrongRequest(edit.code, edit.message)
    if edit.failure is not None and edit.failure.code.startswith("mask_"):
        # The message begins with the name of the file in which the worker has laid the mask.
        return WrongRequest(edit.failure.code, f"mask: {edit.failure.message.partition(': ')[2]}")
    if edit.failure is not None and edit.failure.code == "regions_unfit":
        return WrongRequest(edit.failure.code, edit.failure.message)
    return _answer(edit)


def rolled_back(task: Task, code: str, message: str) -> Answer:
    """The original, where the work on it came to nothing."""
    return Answer(task.data, CODES[code].verdict, (code,), failure={"code": code, "message": message})


def _open(task: Task) -> OpenFlow:
    if task.kind in _flows:
        _flows.move_to_end(task.kind)
    else:
        flow = task.wish.flow(task.limits, task.rates, _mask_folder())
        counted = (
            replace(each, calls=task.calls, dest=task.calls_in) if isinstance(each, Inpaint) and each.is_outside else each
            for each in flow.operators
        )
        _flows[task.kind] = OpenFlow(Flow(tuple(counted)))
        while len(_flows) > MOST_FLOWS:
            _flows.popitem(last=False)
    return _flows[task.kind]


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
