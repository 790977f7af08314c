"""File names as text: every name that a disk can hold, and back to the same bytes.

A name on a disk is bytes, most often UTF-8. Tables, JSON and HTML hold text, which cannot carry
the other bytes. So each byte that is not part of valid UTF-8 is written as one character of
Unicode's last private plane, U+10FF80 to U+10FFFF. A name that has such a character itself gets
it written byte by byte, so no two names share a text.
"""

from __future__ import annotations

import os
import re
import unicodedata

_BASE = 0x10FF00
"""The character of byte B is U+10FF00 + B; only bytes from 0x80 on can be no UTF-8."""
_ESCAPES = re.compile("[\U0010ff80-\U0010ffff]")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's controls, formats, lone surrogates, line and paragraph separators."""
JOINER = "\u200d"
"""Joins the parts of an emoji and moves nothing else."""


def to_text(name: str) -> str:
    """A path as Python gives it (`os.fsdecode`) as text that UTF-8 can hold."""
    if name.isascii():
        return name
    literal = _ESCAPES.sub(lambda match: "".join(chr(_BASE + byte) for byte in match[0].encode()), name)
    return "".join(chr(_BASE + ord(each) - 0xDC00) if 0xDC80 <= ord(each) <= 0xDCFF else each for each in literal)


def given(uri: str) -> str:
    """A path or URL from the command line as text; valid UTF-8 is returned unchanged."""
    return to_text(uri) if any(0xDC80 <= ord(each) <= 0xDCFF for each in uri) else uri


def to_path(text: str) -> str:
    """The path, as Python's file functions take it, that `to_text` wrote as this text."""
    if text.isascii() or not _ESCAPES.search(text):
        return text
    pieces = (bytes([ord(each) - _BASE]) if _ESCAPES.match(each) else each.encode(errors="surrogateescape") for each in text)
    return os.fsdecode(b"".join(pieces))


def printable(text: str) -> str:
    r"""A text for a terminal or a page: bytes and characters that show nothing are spelt out.

    A byte that is no UTF-8 becomes `\xE9`, a line break `\n`, a mark that turns the direction of
    writing `\u200e`. The result is on one line.
    """
    return "".join(_spell(each) for each in text)


def _spell(character: str) -> str:
    code = ord(character)
    if _ESCAPES.match(character):
        return f"\\x{code - _BASE:02X}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02X}"
    if unicodedata.category(character) in _HIDDEN_CATEGORIES and character != JOINER:
        return character.encode("unicode_escape").decode() if code < 0xD800 or code > 0xDFFF else f"\\u{code:04x}"
    return character
