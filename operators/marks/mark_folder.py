"""The marks that `--mark` names: a file, or a folder whose `marks.yaml` says where to look."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from operators.marks.mark import Mark, Search, read_mark
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage

SETTINGS = "marks.yaml"
"""The file of a folder of marks that says where each is looked for."""
ENDINGS = (".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg")

Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarkSettings(_Closed):
    """One entry of `marks.yaml`; see `Search` for the units."""

    file: str
    zone: tuple[Share, Share, Share, Share] = Search.zone
    scale: Range = Search.scale
    width: Range | None = None
    opacity: Range = Search.opacity
    turn: Annotated[float, Field(ge=0, le=Search.turn)] = Search.turn

    @model_validator(mode="after")
    def _check_order(self) -> MarkSettings:
        pairs = {"scale": self.scale, "opacity": self.opacity, "width": self.width or (1.0, 1.0)}
        for name, (least, most) in pairs.items():
            if least > most:
                raise ValueError(f"{name}: {least} is larger than {most}")
        if self.zone[0] >= self.zone[2] or self.zone[1] >= self.zone[3]:
            raise ValueError("zone: expected left, top, right and bottom as shares of the picture")
        return self

    def search(self) -> Search:
        """The entry without its file."""
        return Search(self.zone, self.scale, self.width, self.opacity, self.turn)


class FolderSettings(_Closed):
    """The content of `marks.yaml`."""

    marks: list[MarkSettings]


def write_settings(entries: list[dict[str, Any]]) -> str:
    """The text of a `marks.yaml` with these entries."""
    return yaml.safe_dump({"marks": entries}, sort_keys=False, default_flow_style=None, width=100)


@lru_cache(maxsize=8)
def load_marks(where: str) -> tuple[Mark, ...]:
    """The marks of a file, or of every picture in a folder; a path or an fsspec URL.

    With a `marks.yaml`, only the files that it names are marks. Raises RunError mark_missing,
    mark_unreadable or marks_invalid, and Failure as the storage does.
    """
    uris = sorted(storage.list_uris(where))
    if uris in ([], [storage.join(where, "")]):
        if not storage.exists(where):
            raise RunError("mark_missing", f"{where}: there is no such file or folder")
        return (read_mark(storage.read(where), _name(where)),)
    settings = [uri for uri in uris if uri == storage.join(where, SETTINGS)]
    entries = _read_settings(settings[0]) if settings else None
    if entries is None:
        pictures = [uri for uri in uris if uri.lower().endswith(ENDINGS)]
        if not pictures:
            raise RunError("mark_missing", f"{where}: no picture of a mark in this folder")
        return tuple(read_mark(storage.read(uri), _name(uri)) for uri in pictures)
    return tuple(_load_entry(where, entry) for entry in entries)


def _load_entry(where: str, entry: MarkSettings) -> Mark:
    try:
        data = storage.read(storage.join(where, entry.file))
    except Failure as failure:
        if failure.code != "key_missing":
            raise
        raise RunError("mark_missing", f"{where}: {SETTINGS} names {entry.file}, which is not there") from None
    return read_mark(data, _name(entry.file), entry.search())


def _read_settings(uri: str) -> list[MarkSettings]:
    try:
        content = FolderSettings.model_validate(yaml.safe_load(storage.read(uri)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError("marks_invalid", f"{uri}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError("marks_invalid", f"{uri}: {place}: {first['msg']}") from None
    if not content.marks:
        raise RunError("marks_invalid", f"{uri}: names no mark")
    return content.marks


def _name(uri: str) -> str:
    """The name of a mark: its file's name without the ending."""
    return uri.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
