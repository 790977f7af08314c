"""Work on one picture in this process: erase, inpaint, enlarge or find, without Ray.

The flows are those of the command line, without the operators that read and write storage. The
same bytes with the same settings give the same bytes as a run. Calls are serialised, because a
process keeps one decoded picture; use several processes to work on several pictures at a time.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike, fspath
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from PIL import Image

from flows.choose_in_python import ChoiceOptions, choose, own_columns_of
from flows.enlarge import SCALES, enlarge_pictures
from flows.erase_text import cover_text, erase_text, inpaint_masks
from flows.find_text import look_for_text
from flows.flow import Flow
from flows.ladder import BEST, GATE, Fills, rungs_of
from operators.masks.mask import BLEND, CORE
from operators.models.threads import one_thread
from operators.operator import Chain, Pipeline
from operators.record import decide_verdict
from operators.rows.arrays import Pixels
from operators.rows.failure import CODES, FAILED, Failure, RunError
from operators.rows.records import CheckRecord
from operators.rows.regions import ERASED
from operators.rows.schema import complete_rows
from operators.rows.table import Region as RegionView
from operators.rows.table import Row, derive, row_views
from operators.storage import files as storage
from operators.storage.disposable import temporary_folder
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.enlargement import Routing

Picture = str | PathLike[str] | bytes | Image.Image | np.ndarray[Any, Any]
"""A picture: a path or URL, the bytes of a file, a Pillow image, or a uint8 array.

An array is height x width, height x width x 3 (RGB) or height x width x 4 (RGBA).
"""

MASK_NAME = "picture"
"""The relative path that a single picture and its mask have."""


def mask_name(number: int) -> str:
    """The relative path of a picture, and of its mask, by its number among several."""
    return f"{number}/{MASK_NAME}" if number else MASK_NAME


_LOCK = threading.RLock()


@dataclass(frozen=True)
class Region:
    """One text or mask of a picture."""

    polygons: tuple[tuple[tuple[float, float], ...], ...]
    """Corners (x, y) in upright pixels."""
    score: float
    """How sure the detector is, 0..1; 1 for a given mask."""
    kind: str
    """`text` or `mask`."""
    text: str | None
    """What it says; None unless it was read."""
    origin: str | None
    """What found it, such as `detect`; `column:given_regions` for one that was given."""
    rule: str | None
    """The rule or option that decided about it; None without any."""
    state: str
    """`erased`, `refused` or `kept`; of `find`, `open` for a text that `erase` would try."""
    reason: str | None
    """Why it was refused or kept."""
    rung: str | None
    """The model of its last fill."""
    checks: tuple[CheckRecord, ...]
    """The measurements of its fills, each beside its limit."""
    box: tuple[int, int, int, int] | None
    """Left, top, width and height of the context crop in upright pixels."""
    mask: Pixels | None
    """Weights 0..255 of the fill at paste-back, uint8, height x width of `box`."""


@dataclass(frozen=True)
class Edit:
    """What became of one picture."""

    image: Any
    """The picture, as given: a Pillow image or an array for such a one, else a file's bytes."""
    data: bytes
    """The picture as a file: of the source's format, or PNG (TIFF for CMYK) for pixels.

    It is the source itself, byte for byte, if nothing was edited.
    """
    verdict: str
    """`edited`, `partly_edited`, `untouched`, `rolled_back` or `skipped`; of `find`, `found` or
    `nothing_found`.
    """
    reasons: tuple[str, ...]
    """Why texts were not erased, and the doubts about those that were."""
    notes: tuple[str, ...]
    """What was done to the file besides the edit, such as a preview that was dropped."""
    regions: tuple[Region, ...]
    failure: Failure | None
    """Why the work on the picture ended early, with a stable code; None in most cases."""
    width: int | None
    """Width of the upright source in pixels; None if it was not decoded."""
    height: int | None
    milliseconds: dict[str, float]
    """Time spent by operator."""
    _strokes: Sequence[tuple[tuple[int, int, int, int], Pixels]] = field(repr=False, default=())

    @property
    def edited(self) -> bool:
        """Whether the picture differs from its source."""
        return self.verdict in ("edited", "partly_edited")

    @cached_property
    def mask(self) -> Pixels:
        """What was masked, uint8 0..255, upright height x width.

        After an edit it holds the weights of the erased regions: a pixel of 0 did not
        change, but the blocks of a lossy file that hold both are encoded as a whole. Of
        `find` it is 255 on the strokes of every text. It is empty (0 x 0) if nothing was decoded.
        """
        canvas = np.zeros((self.height or 0, self.width or 0), np.uint8)
        for (x, y, width, height), strokes in self._strokes:
            place = canvas[y : y + height, x : x + width]
            np.maximum(place, strokes, out=place)
        return canvas

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file's bytes (`data`) to a path or URL, atomically. Raises Failure."""
        storage.write(fspath(path), self.data)


class OpenFlow:
    """An open flow in this process, without its reading and writing operators."""

    def __init__(self, flow: Flow) -> None:
        self._chain = Chain(flow.operators[1:])  # the first one fetches
        for operator in flow.operators:
            operator.check()
        with _LOCK, one_thread():
            self._chain.open()

    def rows(self, files: Sequence[bytes], finds: bool = False, own: Sequence[Mapping[str, Any]] = ()) -> list[Row]:
        """The finished rows of the bytes of files.

        `own` are columns such as those of a manifest, the same ones for every file. Several files
        go through each operator together, so that their regions share the batches of a model.
        """
        names = [mask_name(number) for number in range(len(files))]
        columns: dict[str, Any] = {
            "image_id": names,
            "uri": names,
            "path": names,
            "shard": pa.array([0] * len(files), pa.int32()),
            "size": pa.array(map(len, files), pa.int64()),
            "bytes": pa.array(files, pa.large_binary()),
            "source_sha256": [hashlib.sha256(data).hexdigest() for data in files],
        }
        source = complete_rows(pa.table(columns))
        for name in own[0] if own else ():
            source = source.append_column(name, pa.array([each[name] for each in own]))
        together = self._chain if len(files) == 1 else Pipeline(self._chain.operators)
        with _LOCK, one_thread():
            table = together.apply(source)
        if finds:
            table = derive(table, "find", ("verdict", "reasons", "texts"), decide_verdict)
        return list(row_views(table))


class Eraser:
    """Erases text from one picture after another, with its models kept open.

    The arguments are the options of `cleanplate erase`; `choice` says which texts go, and `fill`
    hides them for good. Raises RunError for one that is wrong.
    """

    def __init__(
        self,
        preset: str = "balanced",
        model: str | None = None,
        *,
        prompt: str = "",
        seed: int = 0,
        accept: str = GATE,
        detector: str = "",
        fill: str | None = None,
        **choice: Unpack[ChoiceOptions],
    ) -> None:
        meant = choose(choice)
        if fill is None:
            fills = Fills(rungs_of(preset, model), seed, prompt, accept=accept)
            flow = erase_text(fills, detector=detector, choice=meant)
        elif model is not None or prompt:
            raise RunError("option_invalid", f"fill={fill!r} hides what is below it and needs no model and no prompt")
        else:
            flow = cover_text(fill, seed, detector=detector, choice=meant)
        self._worker = OpenFlow(flow)

    def erase(self, image: Picture, regions: Any = None) -> Edit:
        """Erase the text of one picture.

        `regions` are boxes [x, y, width, height] or polygons [[x, y], ...] of the upright picture
        that go as well. Raises Failure if the picture cannot be read or the regions are none of
        it, and TypeError for what is not a picture.
        """
        return _edit_with_regions(image, self._worker, regions)


def _edit_with_regions(image: Picture, worker: OpenFlow, regions: Any, finds: bool = False) -> Edit:
    edit = edit_picture(image, worker, finds, own_columns_of(regions))
    if edit.failure is not None and edit.failure.code == "regions_unfit":
        raise edit.failure
    return edit


def erase(image: Picture, preset: str = "balanced", model: str | None = None, *, regions: Any = None, **options: Any) -> Edit:
    """Erase the text of one picture; see `Eraser` for the options, the regions and the errors."""
    return Eraser(preset, model, **options).erase(image, regions)


def inpaint(
    image: Picture,
    mask: Picture,
    preset: str = "balanced",
    model: str | None = None,
    *,
    prompt: str = "",
    seed: int = 0,
    accept: str = BEST,
) -> Edit:
    """Fill what is white or painted in the mask.

    The mask has the size of the upright picture; an array of bool or uint8 may be height x width.
    With `accept="gate"`, parts whose fills all fail a check keep their pixels. Raises Failure if
    the picture or the mask cannot be read, RunError for a wrong option.
    """
    data = _file_of(mask)
    with temporary_folder("cleanplate-mask-") as folder:
        (folder / MASK_NAME).write_bytes(data)
        fills = Fills(rungs_of(preset, model), seed, prompt, accept=accept)
        edit = edit_picture(image, OpenFlow(inpaint_masks(str(folder), fills)))
    if edit.failure is not None and edit.failure.code.startswith("mask_"):
        raise edit.failure
    return edit


def enlarge(image: Picture, scale: int = 4, model: str = Routing.model) -> Edit:
    """Enlarge a picture by a factor of 2 or 4.

    Raises Failure if the picture cannot be read, RunError for another factor or a wrong model.
    """
    if scale not in SCALES:
        raise RunError("option_invalid", f"scale {scale}: choose from {', '.join(map(str, SCALES))}")
    find_upscaler(model, float(scale))
    return edit_picture(image, OpenFlow(enlarge_pictures(float(scale), routing=Routing(model))))


def find(
    image: Picture, *, read: bool = False, detector: str = "", regions: Any = None, **choice: Unpack[ChoiceOptions]
) -> Edit:
    """Find the text of a picture, and what it says if `read` is true. Nothing is edited.

    `regions` and `choice` are those of `Eraser`. Raises Failure if the picture cannot be read, and
    RunError for a wrong option.
    """
    worker = OpenFlow(look_for_text(read, detector=detector, choice=choose(choice)))
    return _edit_with_regions(image, worker, regions, finds=True)


def edit_picture(image: Any, worker: OpenFlow, finds: bool = False, own: Mapping[str, Any] | None = None) -> Edit:
    """What becomes of one picture in an open flow, which only looks if `finds` is true.

    `own` are columns such as those of a manifest. Raises Failure if the picture cannot be read,
    and TypeError for what is not a picture.
    """
    (edit,) = edit_pictures([image], worker, finds, [own] if own else [])
    if isinstance(edit, Failure):
        raise edit
    return edit


def edit_pictures(
    images: Sequence[Any], worker: OpenFlow, finds: bool = False, own: Sequence[Mapping[str, Any]] = ()
) -> list[Edit | Failure]:
    """What becomes of several pictures that are worked together, each with the bytes it gets alone.

    The arguments are those of `edit_picture`, one for each picture. A picture that cannot be read
    has its Failure in the place of its edit, unless its file is missing. Raises Failure for that,
    and TypeError for what is not a picture.
    """
    files = list(map(_file_of, images))
    rows = worker.rows(files, finds, own)
    return [_edit(image, source, row, finds) for image, source, row in zip(images, files, rows, strict=True)]


def _edit(image: Any, source: bytes, row: Row, finds: bool) -> Edit | Failure:
    """The edit of a picture, given as `image` and as the bytes of a file, by its finished row."""
    record = row["failure"]
    failure = None if record is None else Failure(record["code"], record["message"])
    if failure is not None and CODES[failure.code].verdict == FAILED:
        return failure
    encoded = row.data("encoded") if failure is None else None
    data = source if encoded is None else bytes(encoded)
    timings: dict[str, float] = {}
    for timing in row["timings"]:
        timings[timing["operator"]] = timings.get(timing["operator"], 0.0) + timing["total"]
    return Edit(
        image=_as_given(image, data, encoded is not None),
        data=data,
        verdict=row["verdict"],
        reasons=tuple(row["reasons"] or ()),
        notes=tuple(row["notes"] or ()),
        regions=tuple(map(_region, row.regions)),
        failure=failure,
        width=row["width"],
        height=row["height"],
        milliseconds=timings,
        _strokes=[strokes for region in row.regions if (strokes := _strokes_of(region, finds)) is not None],
    )


def _strokes_of(region: RegionView, finds: bool) -> tuple[tuple[int, int, int, int], Pixels] | None:
    if region["mask"] is None or not (finds or region["state"] == ERASED):
        return None
    box, mask = region.crop, region.array("mask", 4)
    strokes = (mask[:, :, CORE] > 0) * np.uint8(255) if finds else mask[:, :, BLEND]
    return (box.x, box.y, box.width, box.height), strokes


def _region(region: RegionView) -> Region:
    box = region["crop"] and region.crop
    return Region(
        polygons=tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in region["polygons"]),
        score=region["score"],
        kind=region["kind"],
        text=region["text"],
        origin=region["origin"],
        rule=region["rule"],
        state=region["state"] or "open",
        reason=region["reason"],
        rung=region["rung"],
        checks=tuple(region["checks"] or ()),
        box=(box.x, box.y, box.width, box.height) if box else None,
        mask=region.array("mask", 4)[:, :, BLEND].copy() if region["mask"] is not None else None,
    )


def _file_of(image: Any) -> bytes:
    """The picture as the bytes of a file. Raises Failure as the storage does, and TypeError."""
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | PathLike):
        return storage.read(fspath(image))
    if isinstance(image, np.ndarray):
        return _encode(_image_of(image))
    if isinstance(image, Image.Image):
        return _encode(image)
    raise TypeError(f"a picture is a path, bytes, a Pillow image or an array, not {type(image).__name__}")


def _image_of(array: np.ndarray[Any, Any]) -> Image.Image:
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise TypeError(f"an array is uint8, height x width x 3 or 4, not {array.dtype} {' x '.join(map(str, array.shape))}")
    return Image.fromarray(np.ascontiguousarray(array))


def _encode(image: Image.Image) -> bytes:
    """A Pillow image as a lossless file, with its colour profile and orientation."""
    kept = {"icc_profile": image.info["icc_profile"]} if image.info.get("icc_profile") else {}
    if exif := image.getexif():
        kept["exif"] = exif.tobytes()
    if image.mode in ("P", "L", "RGB", "I;16") and "transparency" in image.info:
        kept["transparency"] = image.info["transparency"]
    buffer = io.BytesIO()
    try:
        if image.mode == "CMYK":
            image.save(buffer, "TIFF", compression="tiff_lzw", **kept)
        else:
            image.save(buffer, "PNG", compress_level=1, **kept)
    except OSError as error:
        raise TypeError(f"a Pillow image of mode {image.mode}: convert it to RGB, RGBA, L or CMYK first") from error
    return buffer.getvalue()


def _as_given(image: Any, data: bytes, edited: bool) -> Any:
    """The result in the kind of the picture that was given."""
    if isinstance(image, np.ndarray):
        return np.asarray(Image.open(io.BytesIO(data))).copy() if edited else image.copy()
    if not isinstance(image, Image.Image):
        return data
    if not edited:
        return image.copy()
    result = Image.open(io.BytesIO(data))
    result.load()
    result.info = {**image.info, **({"icc_profile": result.info["icc_profile"]} if "icc_profile" in result.info else {})}
    return result if result.mode == image.mode else result.convert(image.mode)
