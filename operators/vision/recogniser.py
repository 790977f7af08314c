"""The text recogniser: the characters of one line of text, and how sure they are.

Model: PP-OCRv6 rec small (PaddleOCR, Apache-2.0), the ONNX file that the `rapidocr` package
contains. It reads Latin, Greek, Chinese and Japanese characters; of other scripts it reads the
characters that look alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord
from operators.rows.timing import timed

LEAST_LETTERS = 3
"""Letters that the recogniser must read in words, so that its reading says something."""
LEAST_CERTAINTY = 0.8
"""Mean probability of these letters, 0..1."""


class Character(NamedTuple):
    """One character that the recogniser reads, its probability (0..1), and where it stands."""

    text: str
    probability: float
    place: float
    """The share of the line's width to the left of the character's middle, 0..1. It is right to
    about a fifth of the line's height.
    """

    @property
    def is_sign(self) -> bool:
        """Whether it is a sign that no keyboard has, such as an arrow, a bullet or a star."""
        return unicodedata.category(self.text[0]) in ("So", "Sm") and not self.text.isascii()

    @property
    def script(self) -> str:
        """The script of a letter: the first word of its Unicode name."""
        return unicodedata.name(self.text[0], "UNKNOWN").split()[0]

    def belongs_to(self, words: Sequence[Character]) -> bool:
        """Whether it may stand among these words: it is no sign and, if it is a letter, of their
        script.
        """
        scripts = {each.script for each in words if each.text.isalpha()}
        return not self.is_sign and (not self.text.isalpha() or self.script in scripts)


def recogniser_path() -> Path:
    """The recogniser's weights (PP-OCRv6 rec small, Apache-2.0) in the installed `rapidocr`."""
    return Path(str(files("rapidocr"))) / "models" / "PP-OCRv6_rec_small.onnx"


class Recogniser:
    """Reads one line of text: PP-OCRv6 with greedy CTC decoding, on one computing thread."""

    HEIGHT = 48
    """Height in pixels to which a line is scaled."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)
        self._input = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *characters, " "]

    def characters(self, line: Pixels) -> list[Character]:
        """The characters of an upright line, from left to right.

        `line` is uint8, height x width x 3.
        """
        width = max(8, min(2400, round(self.HEIGHT * line.shape[1] / line.shape[0])))
        scaled = cv2.resize(line[:, :, ::-1], (width, self.HEIGHT), interpolation=cv2.INTER_LINEAR)
        values = (scaled.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        with timed("model"):
            scores: Any = self._session.run(None, {self._input: values})[0][0]
        best, probability = scores.argmax(axis=1), scores.max(axis=1)
        places = np.flatnonzero((best > 0) & np.concatenate([[True], best[1:] != best[:-1]]))
        return [
            Character(self._characters[best[step]], float(probability[step]), (int(step) + 0.5) / len(best)) for step in places
        ]

    def read(self, line: Pixels) -> tuple[str, float]:
        """The text of an upright line and the mean probability of its characters, 0..1.

        `line` is uint8, height x width x 3. The probability is 0 if no character is read.
        """
        characters = self.characters(line)
        probability = sum(character.probability for character in characters) / max(1, len(characters))
        return "".join(character.text for character in characters), probability


def are_words(characters: Sequence[Character]) -> bool:
    """Whether so many letters are read for certain that the recogniser knows the script."""
    letters = [each.probability for each in characters if each.text.isalpha()]
    return len(letters) >= LEAST_LETTERS and float(np.mean(letters)) >= LEAST_CERTAINTY


def recogniser() -> Recogniser:
    """The recogniser, loaded once per process."""
    return load_once("pp-ocr-v6-rec-small", "rapidocr", "cpu", lambda: Recogniser(recogniser_path()))


def recogniser_identity() -> ModelRecord:
    """What run.json records of the recogniser."""
    return {"alias": "pp-ocr-v6-rec-small", "licence": "Apache-2.0", "sha256": file_sha256(recogniser_path())}
