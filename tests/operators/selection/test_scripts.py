"""Which scripts there are to choose from is what the recogniser has letters of."""

from __future__ import annotations

import unicodedata
from collections import Counter

import onnxruntime

from operators.selection.scripts import SCRIPTS, UNREAD, script_of
from operators.vision.recogniser import recogniser_path


def test_the_recogniser_has_letters_of_each_script_and_of_none_that_is_refused() -> None:
    session = onnxruntime.InferenceSession(str(recogniser_path()), providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    letters = [each for each in characters if len(each) == 1 and each.isalpha()]
    assert {script for each in letters if (script := script_of(each))} == set(SCRIPTS)
    first_words = Counter(unicodedata.name(each, "NONE").split()[0].lower() for each in letters)
    assert not set(first_words) & set(UNREAD)
