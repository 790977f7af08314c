"""Listing tar and zip archives, WebDataset shards among them: which members are images.

The members of a sample have one name up to the first dot after the last slash: `00017.jpg`,
`00017.json`, `00017.cls`. An image's row has two columns of its own: `sample`, that name, and
`json`, the text of the sample's JSON. An archive may come from anybody. What is wrong with it is
counted, never raised, and the members before that are taken.
"""

from __future__ import annotations

import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import IO

import pyarrow as pa

from operators.rows.failure import RunError
from operators.rows.signatures import HEAD_BYTES, picture_kind
from operators.storage import files as storage
from operators.storage.archive_members import member_uri
from operators.storage.left_out import DAMAGED, HIDDEN, NOT_PICTURE, SPECIAL, TOO_MANY, UNSAFE, LeftOut
from operators.storage.local_listing import hidden_name
from operators.storage.names import to_text
from operators.storage.retries import storage_failure, with_retries
from operators.storage.source_image import SourceImage

ENDINGS = (".tar", ".zip")
OWN = pa.schema([("sample", pa.string()), ("json", pa.string())])
"""The columns that an image of an archive brings along."""
MOST_MEMBERS = 1_000_000
"""Members of an archive that are looked at; the rest is counted."""
LARGEST_DIRECTORY = 128 * 1024**2
"""Bytes of a zip's directory, which is held in memory, at most."""
LARGEST_HEADER = 1024**2
"""Bytes of an extended header of a tar, which is held in memory, at most."""
EXTENDED = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
"""The kinds of extended headers."""
LARGEST_JSON = 256 * 1024
"""Bytes of a JSON that travels with its image, at most; a longer one is null."""
READ_AHEAD = 1024**2
"""Bytes that are read from an object store beyond what is asked for: the next headers."""
DIRECTORY_END = struct.Struct("<4s4H2LH")
"""The last record of a zip: signature, disks, entries, size and place of the directory, comment."""
LARGER_DIRECTORY_END = struct.Struct("<4sQ2H2L4Q")
"""The same of a zip of more than 4 GiB or 65,535 members: its last two fields are those."""


@dataclass(frozen=True)
class _Member:
    """A regular file in an archive."""

    name: str
    offset: int
    packed: int
    size: int
    head: Callable[[int], bytes]
    """Reads its first bytes; of a damaged member it may raise."""


def is_archive(source: str) -> bool:
    """Whether a SOURCE names an archive or a glob of archives."""
    return source.lower().endswith(ENDINGS)


def sample_of(name: str) -> str:
    """The name of the sample that a member belongs to, as WebDataset has it."""
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.partition(".")[0])


def is_unsafe(name: str) -> bool:
    """Whether a member would leave the folder into which its archive is unpacked."""
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name


def archive_images(files: Iterable[SourceImage], endings: tuple[str, ...], left_out: LeftOut) -> Iterator[SourceImage]:
    """The images in some archives, in the order of the archives; all else is counted.

    A member is an image if its name has one of the `endings`, or if its content is a picture.
    Raises RunError as `files` does, and if the storage fails.
    """
    for file in files:
        yield from _images(file, endings, left_out)


def _images(file: SourceImage, endings: tuple[str, ...], left_out: LeftOut) -> Iterator[SourceImage]:
    filesystem, path = storage.filesystem(file.uri)
    options = {} if storage.is_local(file.uri) else {"block_size": READ_AHEAD, "cache_type": "readahead"}
    with with_retries(file.uri, lambda: filesystem.open(path, "rb", **options)) as handle:
        list_members = _zip_members if file.uri.lower().endswith(".zip") else _tar_members
        all_members = _until_damaged(list_members(handle, file, left_out), file, left_out)
        try:
            for sample, members in groupby(all_members, lambda member: sample_of(member.name)):
                yield from _sample_images(file, sample, list(members), endings, left_out)
        except OSError as error:
            failure = storage_failure(error, file.uri)
            raise RunError(failure.code, failure.message, 3) from error


def _until_damaged(members: Iterator[_Member], file: SourceImage, left_out: LeftOut) -> Iterator[_Member]:
    """The members before the place from which the archive is damaged, which is counted."""
    try:
        yield from members
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error):
        left_out.add(DAMAGED, file.path)


def _sample_images(
    file: SourceImage, sample: str, members: list[_Member], endings: tuple[str, ...], left_out: LeftOut
) -> Iterator[SourceImage]:
    images = [member for member in members if _is_image(file, member, endings, left_out)]
    if not images:
        return
    own = {"sample": sample, "json": next(filter(None, map(_json, members)), None)}
    for image in images:
        uri = member_uri(file.uri, image.offset, image.packed, image.size, image.name)
        yield SourceImage(uri, f"{file.path}/{image.name}", image.size, file.etag, own)


def _is_image(file: SourceImage, member: _Member, endings: tuple[str, ...], left_out: LeftOut) -> bool:
    path = f"{file.path}/{member.name}"
    if name := hidden_name(member.name):
        left_out.add(HIDDEN, path, name)
    elif member.name.lower().endswith(endings) or _looks_like_picture(member):
        return True
    else:
        left_out.add(NOT_PICTURE, path, posixpath.splitext(member.name)[1].lower()[:12] or "without an ending")
    return False


def _looks_like_picture(member: _Member) -> bool:
    try:
        return picture_kind(member.head(HEAD_BYTES)) is not None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return False


def _json(member: _Member) -> str | None:
    if not member.name.lower().endswith(".json") or member.size > LARGEST_JSON:
        return None
    try:
        return member.head(member.size).decode()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, UnicodeDecodeError):
        return None


class BoundedTarInfo(tarfile.TarInfo):
    """A header of a tar that may not make its reader hold a header of any length in memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | tarfile.TarFile:
        if self.type in EXTENDED and self.size > LARGEST_HEADER:
            raise tarfile.ReadError("a header is too long")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


def tar_headers(handle: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar, which are not kept. Raises tarfile.TarError where it is damaged."""
    with tarfile.open(fileobj=handle, mode="r:", tarinfo=BoundedTarInfo, errors="surrogateescape") as archive:
        while (header := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]
            yield header
        # An invalid header ends the archive as its end does, but for what is there.
        handle.seek(archive.offset)
        if any(handle.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError("bad header")


def _tar_members(handle: IO[bytes], file: SourceImage, left_out: LeftOut) -> Iterator[_Member]:
    names = set[int]()
    for number, header in enumerate(tar_headers(handle)):
        if number >= MOST_MEMBERS:
            left_out.add(TOO_MANY, file.path)
            return
        if header.isdir():
            continue
        name = to_text(header.name.removeprefix("./"))
        if not _is_taken(file, name, names, left_out):
            continue
        if not header.isreg() or header.issparse():
            left_out.add(SPECIAL, f"{file.path}/{name}")
            continue
        offset, size = header.offset_data, header.size

        def head(length: int, offset: int = offset, size: int = size) -> bytes:
            handle.seek(offset)
            return handle.read(min(length, size))

        yield _Member(name, offset, size, size, head)


def _is_taken(file: SourceImage, name: str, names: set[int], left_out: LeftOut) -> bool:
    """Whether a member's name is safe and new; if not, it is counted."""
    reason = "leaves its folder" if is_unsafe(name) else "occurs twice" if hash(name) in names else ""
    names.add(hash(name))
    if reason:
        left_out.add(UNSAFE, f"{file.path}/{name}", reason)
    return not reason


def _zip_members(handle: IO[bytes], file: SourceImage, left_out: LeftOut) -> Iterator[_Member]:
    if _directory_size(handle) > LARGEST_DIRECTORY:
        left_out.add(TOO_MANY, file.path)
        return
    archive = zipfile.ZipFile(handle)  # never closed: it does not own the handle, and members are read later
    names = set[int]()
    infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
    if len(infos) > MOST_MEMBERS:
        left_out.add(TOO_MANY, file.path)
    for info in infos[:MOST_MEMBERS]:
        if not _is_taken(file, info.filename, names, left_out):
            continue

        def head(length: int, info: zipfile.ZipInfo = info) -> bytes:
            with archive.open(info) as member:
                return member.read(length)

        yield _Member(info.filename, info.header_offset, info.compress_size, info.file_size, head)


def _directory_size(handle: IO[bytes]) -> int:
    """Bytes of a zip's directory as its last record says; 0 without one, which zipfile refuses."""
    end = handle.seek(0, 2)
    start = max(0, end - DIRECTORY_END.size - 0xFFFF)
    handle.seek(start)
    tail = handle.read(end - start)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + DIRECTORY_END.size:
        return 0
    larger = tail.rfind(b"PK\x06\x06", 0, place)
    if larger >= 0 and len(tail) >= larger + LARGER_DIRECTORY_END.size:
        return int(LARGER_DIRECTORY_END.unpack_from(tail, larger)[-2])
    return int(DIRECTORY_END.unpack_from(tail, place)[5])
