"""The writing systems that the recogniser reads, and which characters of a text belong to each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

SCRIPTS: dict[str, tuple[str, ...]] = {
    "latin": ("LATIN",),
    "greek": ("GREEK",),
    "han": ("CJK",),
    "kana": ("HIRAGANA", "KATAKANA"),
}
"""The first words of the Unicode names of each script's letters.

The recogniser has letters of no other script.
"""
UNREAD = tuple(
    "arabic armenian bengali cyrillic devanagari ethiopic georgian gujarati gurmukhi hangul hebrew kannada khmer lao malayalam "
    "myanmar sinhala tamil telugu thai tibetan".split()
)
"""Scripts that a user may ask for, and of which the recogniser has no letter.

It reads nothing there, or a few letters of another script that look alike.
"""
LEAST_GREEK = 0.25
"""Share of Greek letters in a word from which its Latin ones are Greek letters that look alike."""
_SCRIPT_OF = {word: script for script, words in SCRIPTS.items() for word in words}


def script_of(character: str) -> str | None:
    """The script of a letter; None for digits, signs, spaces and letters of other scripts."""
    if not character.isalpha():
        return None
    words = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()
    return _SCRIPT_OF.get(words[0]) if words else None


def in_scripts(text: str, scripts: Collection[str]) -> list[bool]:
    """For each character, whether it is in one of the scripts.

    Digits, signs and spaces go with the letter before them, at the start of a text with the first
    letter. A text without letters is in no script.
    """
    own = _by_word(text)
    current = next((script for script in own if script is not None), None)
    inside = []
    for script in own:
        current = script or current
        inside.append(current is not None and current in scripts)
    return inside


def _by_word(text: str) -> list[str | None]:
    """The script of each letter. Letters that look alike belong to the script of their word."""
    own: list[str | None] = []
    for word in re.split(r"(\s+)", text):
        scripts = [script_of(character) for character in word]
        greek, latin = scripts.count("greek"), scripts.count("latin")
        if greek >= LEAST_GREEK * (greek + latin) > 0:
            scripts = ["greek" if script == "latin" else script for script in scripts]
        own += scripts
    return own
