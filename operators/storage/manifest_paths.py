"""The paths of pictures that a manifest names, and which of a user's names mean such a picture.

A relative row keeps its path. An absolute path becomes `local` and the path, and a URL its scheme,
bucket and key, so that all of them lie under DEST/images.
"""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase

from operators.storage import files as storage


def uri_of_row(uri: str, manifest: str) -> str:
    """The URI that a row means: a relative path counts from the folder of its manifest."""
    if is_absolute(uri):
        return uri
    scheme, separator, rest = manifest.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(posixpath.dirname(rest), uri))}"


def path_of_row(uri: str, manifest: str) -> str:
    """The path of the picture that a row names.

    A relative path that leads out of the folder of the manifest, or begins like the paths of other
    URIs, is that of the URI that it means.
    """
    if not is_absolute(uri):
        path = posixpath.normpath(uri)
        if not path.startswith("..") and path.partition("/")[0] not in storage.FIRST_SEGMENTS:
            return path
    return _absolute(uri_of_row(uri, manifest))


def _absolute(uri: str) -> str:
    if storage.is_local(uri):
        return f"local/{storage.filesystem(uri)[1].lstrip('/')}"
    scheme, _, rest = uri.partition("://")
    return f"{scheme}/{rest}"


def endings_of(path: str) -> list[str]:
    """The names by which a user may mean a picture: its path; of an absolute one, all endings."""
    first, *folders = path.split("/")
    endings = ["/".join(folders[start:]) for start in range(len(folders))] if first in storage.FIRST_SEGMENTS else []
    return [path, *endings]


def is_absolute(name: str) -> bool:
    """Whether a path or pattern begins at the root of a disk, or is a URL."""
    return "://" in name or name.startswith("/")


def matches_path(path: str, pattern: str) -> bool:
    """Whether a pattern with `*` and `?` means a picture; `*` matches `/` too.

    An absolute pattern, or one that is a URL, is compared with the whole of what a manifest names.
    Any other is compared with the relative path, or with all endings of an absolute one.
    """
    if is_absolute(pattern):
        return fnmatchcase(path, _absolute(pattern))
    return any(fnmatchcase(ending, pattern) for ending in endings_of(path))
