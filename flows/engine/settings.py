"""`run.json`: the settings and versions of a run.

A later run into the same destination must have the same settings and the same source.
"""

from __future__ import annotations

import json
import platform
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from cluster.profile import Profile
from flows.flow import Flow
from flows.telemetry.calls import Calls
from operators.fetch import Fetch
from operators.generators.call_account import Totals, totals_of
from operators.inpaint import Inpaint
from operators.ledger import ledger
from operators.ledger.part import WHOLE, Part
from operators.rows.failure import RunError
from operators.rows.records import ModelRecord
from operators.storage import files as storage
from operators.storage.allowed import places_of
from operators.storage.earlier_runs import RECORD_FILES, RECORD_FOLDERS
from operators.storage.intake import Intake
from operators.storage.left_out import LeftOut

VERSIONS_RECORDED = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "pyarrow", "pypatchmatch", "rapidocr", "ray")


@dataclass(frozen=True)
class Options:
    """The options of a run that are not part of its flow."""

    seed: int = 0
    """The seed that run.json records; operators get theirs with the flow."""
    limit: int | None = None
    """How many images of the source to process; None for all."""
    fresh: bool = False
    """Whether to discard an earlier run into the same destination and start over."""
    intake: Intake = Intake()
    """Which images of the source to process, and where to deliver them."""
    allow: tuple[str, ...] = ()
    """The places from which the rows of a manifest may be read; empty for the usual ones."""
    part: Part = WHOLE
    """Which share of these images to process, if several drivers divide the run."""
    to: str | None = None
    """The kind of collection to write at the end, of `operators.storage.repack`; None for files."""


def restricted(flow: Flow, source: str, allow: Sequence[str] = ()) -> Flow:
    """The flow, bound to what a manifest as SOURCE may read; see `operators.storage.allowed`."""
    places = places_of(source, allow)
    if not places:
        return flow
    return Flow(tuple(replace(each, allow=places) if isinstance(each, Fetch) else each for each in flow.operators))


def keep_calls(flow: Flow, dest: str) -> Flow:
    """The flow whose calls to models over HTTP are kept in `dest`; see `call_account`."""
    return Flow(tuple(replace(each, dest=dest) if isinstance(each, Inpaint) else each for each in flow.operators))


def calls_of(flow: Flow, dest: str) -> list[Calls]:
    """The calls of all runs into `dest` to the flow's models over HTTP. Raises Failure."""
    asking = {each.model.alias: each for each in flow.operators if isinstance(each, Inpaint) and each.is_outside}
    totals = totals_of(dest) if asking else {}
    return [Calls(alias, totals.get(alias, Totals()), each.calls) for alias, each in asking.items()]


def note_calls(dest: str, calls: Sequence[Calls]) -> None:
    """Record in run.json what the calls to models over HTTP have cost, if there are such models."""
    if calls:
        uri = storage.join(dest, "run.json")
        content = json.loads(storage.read(uri))
        record = {each.alias: each.record() for each in calls}
        storage.write(uri, json.dumps(content | {"calls": record}, indent=2).encode())


def note_left_out(dest: str, left_out: LeftOut) -> bool:
    """Record in run.json what the listing left out; return whether that is news."""
    uri = storage.join(dest, "run.json")
    content = json.loads(storage.read(uri))
    record = left_out.record()
    if content.get("left_out") == record:
        return False
    storage.write(uri, json.dumps(content | {"left_out": record}, indent=2).encode())
    return True


def check_settings(flow: Flow, source: str, dest: str, options: Options) -> bool:
    """Check that an earlier run into `dest` has the same settings; return whether there is one.

    `options.fresh` first removes what an earlier run left beside the images. Raises RunError
    settings_changed if the settings, the source, the number of parts or the collection differ.
    """
    uri = storage.join(dest, "run.json")
    if options.fresh:
        discard_earlier_run(dest)
        return False
    if not storage.exists(uri):
        return False
    earlier = json.loads(storage.read(uri))
    if (parts := earlier.get("parts", WHOLE.of)) != options.part.of:
        divided = (
            f"in {parts} parts; use --part N/{parts}, or" if parts > 1 else "that is not divided; leave out --part, or use"
        )
        raise RunError("settings_changed", f"{dest} holds a run {divided} another DEST")
    if (to := earlier.get("to")) != options.to:
        raise RunError("settings_changed", f"{dest} holds a run {f'--to {to}' if to else 'without --to'}; use another DEST")
    settings = json.loads(json.dumps([operator.settings() for operator in flow.operators]))
    if earlier["settings"] != settings:
        changed = dict.fromkeys(new["operator"] for new in settings if new not in earlier["settings"]) or ["its operators"]
        raise RunError(
            "settings_changed",
            f"{dest} holds a run with other settings ({', '.join(changed)}); use another DEST, or --fresh to start over",
        )
    if storage.absolute(earlier["source"]) != storage.absolute(source):
        raise RunError("settings_changed", f"{dest} holds a run over {earlier['source']}; use another DEST, or --fresh")
    return True


PARTS = (*RECORD_FOLDERS, *RECORD_FILES)
"""What a run leaves in its destination beside pictures and masks."""
THREADS = 16


def discard_earlier_run(dest: str) -> None:
    """Remove all that an earlier run has left in `dest`.

    Of pictures and masks these are the files that its ledger names; other files stay. Raises
    Failure.
    """
    uris = (uri for rows in ledger.shard_rows(dest) for uri in rows["output_uri"].to_pylist() if uri)
    own = [uri for uri in uris if storage.absolute(uri).startswith(storage.join(storage.absolute(dest), ""))]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(storage.remove, own))
    for part in PARTS:
        storage.remove(storage.join(dest, part))
    for part in ("images", "masks"):
        storage.remove_empty_folders(storage.join(dest, part))


def models(flow: Flow) -> list[ModelRecord]:
    """The models that the flow's operators use, each once, in the order of the operators."""
    used = [model for operator in flow.operators for model in operator.models()]
    return [model for position, model in enumerate(used) if model not in used[:position]]


def record(flow: Flow, source: str, dest: str, profile: Profile, options: Options) -> bool:
    """Write run.json with the run's settings, models, profile, versions and machine.

    Return False if another part of the run was first.
    """
    content = {
        "run": uuid.uuid4().hex,
        "source": storage.absolute(source),
        "seed": options.seed,
        "settings": [operator.settings() for operator in flow.operators],
        "models": models(flow),
        "profile": profile.model_dump(mode="json"),
        "versions": {name: installed_version(name) for name in (*VERSIONS_RECORDED, "cleanplate")},
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **({} if options.part == WHOLE else {"parts": options.part.of}),
        **({} if options.to is None else {"to": options.to}),
    }
    return storage.create(storage.join(dest, "run.json"), json.dumps(content, indent=2).encode())


def installed_version(package: str) -> str:
    """The version of a package, or of its build for GPUs, such as `onnxruntime-gpu`, in its place.

    Raises PackageNotFoundError if there is neither.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return version(f"{package}-gpu")


def run_id(dest: str) -> str:
    """The id of the run into `dest`, under which all its attempts appear in logs.

    It is empty if run.json has none.
    """
    return str(json.loads(storage.read(storage.join(dest, "run.json"))).get("run", ""))
