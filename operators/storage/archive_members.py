"""Images inside tar and zip archives, which are read in place by their offset.

The address of an image is `FILE.tar#at=OFFSET+PACKED&size=SIZE&member=NAME`: where its bytes
begin, how many there are in the archive, and how many when unpacked. A member of a tar is not
packed. That of a zip begins with its own header, and is stored or deflated.
"""

from __future__ import annotations

import re
import struct
import zlib

from operators.rows.failure import Failure
from operators.storage import files as storage

ADDRESS = re.compile(
    r"(?P<file>.+\.(?:tar|zip))#at=(?P<offset>\d+)\+(?P<packed>\d+)&size=(?P<size>\d+)&member=(?P<name>.+)",
    re.IGNORECASE | re.DOTALL,
)
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
"""The header before a member of a zip: signature, version, flags, method, time, date, checksum,
packed size, size, and the lengths of the name and of the extra fields that follow.
"""
SIGNATURE = b"PK\x03\x04"
STORED, DEFLATED = 0, 8
ENCRYPTED = 1
"""The flag of an encrypted member."""
ROOM = 1024
"""Bytes that are read beyond a zip's member for its name and extra fields, mostly enough."""


def member_uri(file: str, offset: int, packed: int, size: int, name: str) -> str:
    """The address of one image in an archive."""
    return f"{file}#at={offset}+{packed}&size={size}&member={name}"


def is_member(uri: str) -> bool:
    """Whether a URI addresses an image in an archive."""
    return ADDRESS.fullmatch(uri) is not None


def size(uri: str) -> int:
    """The size in bytes of the image at an address; nothing is read."""
    address = ADDRESS.fullmatch(uri)
    return int(address["size"]) if address else -1


def read(uri: str) -> bytes:
    """The bytes of the member at an address.

    Raises Failure as `storage.read` does, truncated if the archive ends before, corrupt if it has
    no such member, or one that is encrypted or packed by an unknown method, and
    decompression_bomb if the member unpacks to more than its size.
    """
    address = ADDRESS.fullmatch(uri)
    if address is None:
        raise Failure("key_missing", f"{uri} is not the address of an image in an archive")
    offset, packed, unpacked = (int(address[name]) for name in ("offset", "packed", "size"))
    if address["file"].lower().endswith(".zip"):
        return _read_zip(address["file"], offset, packed, unpacked, address["name"])
    data = storage.read_range(address["file"], offset, packed)
    if len(data) < packed:
        raise Failure("truncated", f"the archive ends {packed - len(data)} bytes before the image does")
    return data


def _read_zip(file: str, offset: int, packed: int, unpacked: int, name: str) -> bytes:
    data = storage.read_range(file, offset, LOCAL_HEADER.size + len(name.encode()) + ROOM + packed)
    if len(data) < LOCAL_HEADER.size:
        raise Failure("truncated", "the archive ends before the image begins")
    signature, _, flags, method, _, _, checksum, _, _, name_length, extra_length = LOCAL_HEADER.unpack_from(data)
    if signature != SIGNATURE or flags & ENCRYPTED or method not in (STORED, DEFLATED):
        what = "encrypted" if flags & ENCRYPTED else f"packed by method {method}"
        raise Failure("corrupt", f"the member is {what}" if signature == SIGNATURE else "the archive has no such member")
    start = LOCAL_HEADER.size + name_length + extra_length
    if len(data) < start + packed:
        data = storage.read_range(file, offset, start + packed)
    if len(data) < start + packed:
        raise Failure("truncated", f"the archive ends {start + packed - len(data)} bytes before the image does")
    content = data[start : start + packed]
    if method == DEFLATED:
        content = _inflate(content, unpacked)
    if len(content) != unpacked or (checksum and zlib.crc32(content) != checksum):
        raise Failure("corrupt", "the member differs from its size or checksum")
    return content


def _inflate(packed: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise Failure("corrupt", f"the member cannot be unpacked: {error}") from error
    if len(content) > size:
        raise Failure("decompression_bomb", f"the member unpacks to more than the {size} bytes that it says")
    return content
