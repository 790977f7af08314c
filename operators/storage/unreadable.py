"""What is wrong with a file that the user named, in words instead of a code."""

from __future__ import annotations

from operators.rows.failure import Failure

_WORDS = {
    "key_missing": "there is no such file",
    "access_denied": "reading it is not permitted",
    "not_an_image": "it is a folder, not a file",
}
"""By the codes of `operators.storage.files.read`."""


def why_unreadable(failure: Failure) -> str:
    """Why a named file cannot be read, for a line that begins with its name."""
    return _WORDS.get(failure.code, failure.message)
