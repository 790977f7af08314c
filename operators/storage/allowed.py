"""What a manifest may read: the places that `--allow` names, and nothing else.

A list of images may come from anybody. Without this rule, a row `file:///etc/passwd` or the
address of a service inside the network would be read with the rights of the run. A place is a
folder, or a URL that ends anywhere between two slashes: `s3://bucket`, `s3://bucket/photos`,
`https://host/path`. `https://` allows every public host; `s3://` every bucket.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from operators.storage import files as storage
from operators.storage.arrow_images import ENDING
from operators.storage.listing import folder_of
from operators.storage.manifest import is_manifest, without_column
from operators.storage.names import to_path, to_text
from operators.storage.parquet_images import ADDRESS
from operators.storage.redirects import is_public
from operators.storage.tables import is_table

_WEB = ("http", "https")
_SAME_SCHEME = {"s3a": "s3"}


def places_of(source: str, allow: Sequence[str] = ()) -> tuple[str, ...]:
    """The places from which the rows of a SOURCE may be read; empty if any may.

    Only manifests are bound. Without `allow`, the place is the folder of a local manifest, or its
    bucket or host. The images inside a Parquet file are always allowed.
    """
    if not is_manifest(source):
        return ()
    file = without_column(source)
    folder = folder_of(file)
    if not allow:
        allow = ((os.path.dirname(_real(file)) if folder == file else folder) if storage.is_local(file) else _store(file),)
    elif file.lower().endswith((".parquet", ENDING)) or is_table(file):
        allow = (*allow, folder)
    return tuple(to_text(_real(place)) if storage.is_local(place) else place for place in allow)


def is_allowed(uri: str, places: Sequence[str]) -> bool:
    """Whether a row's URI lies in one of the places, links and `..` resolved; any if none is given.

    The address of an image inside a Parquet file lies where the file does.
    """
    cell = ADDRESS.fullmatch(uri)
    return not places or any(_is_in(cell["file"] if cell else uri, place) for place in places)


def suggestion(uri: str) -> str:
    """The place to name so that a URI is allowed: its folder, or its bucket or host."""
    return os.path.dirname(storage.filesystem(uri)[1]) if storage.is_local(uri) else _store(uri)


def _store(uri: str) -> str:
    return "/".join(uri.split("/")[:3])


def _real(path: str) -> str:
    return os.path.realpath(to_path(path.removeprefix("file://")))


def _is_in(uri: str, place: str) -> bool:
    if storage.is_local(uri) or storage.is_local(place):
        return storage.is_local(uri) and storage.is_local(place) and _begins(_real(uri), _real(place))
    scheme, rest = _split(uri)
    place_scheme, place_rest = _split(place)
    if scheme != place_scheme:
        return False
    return _is_in_web(uri, place) if scheme in _WEB else not place_rest or _begins(rest, place_rest)


def _is_in_web(uri: str, place: str) -> bool:
    """Whether a web address lies in a place; one that readers may understand otherwise does not."""
    if any(character in uri for character in "\\ \t\r\n"):
        return False
    try:
        asked, named = urlsplit(uri), urlsplit(place)
        same_port = asked.port == named.port
    except ValueError:
        return False
    if asked.username is not None or ".." in unquote(asked.path).split("/") or not asked.hostname:
        return False
    if not named.hostname:
        return is_public(asked.hostname)
    return asked.hostname == named.hostname and same_port and _begins(asked.path or "/", named.path or "/")


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    return _SAME_SCHEME.get(scheme, scheme), rest


def _begins(path: str, start: str) -> bool:
    start = start.rstrip("/")
    return path == start or path.startswith(f"{start}/")
