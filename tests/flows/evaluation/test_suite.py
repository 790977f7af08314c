"""A suite is a folder of pictures with known truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from flows.evaluation.suite import Entry, Suite, load

ENTRY = {"file": "a.png", "set": "tune", "bucket": "photo", "prompt": "", "texts": []}


def users_suite(folder: Path, entries: list[dict[str, object]] | None = None, truth: bool = False) -> Path:
    """A user's suite of one small picture."""
    for part in ("images", "truth") if truth else ("images",):
        (folder / part).mkdir(parents=True)
        Image.new("RGB", (40, 30), (90, 120, 40)).save(folder / part / "a.png")
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": entries or [ENTRY]}))
    return folder


def test_the_checksum_changes_with_any_file(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine", truth=True)
    before = load(folder).checksum
    assert load(folder).checksum == before
    assert len(before) == 16
    Image.new("RGB", (40, 30), (90, 120, 41)).save(folder / "truth" / "a.png")
    changed = load(folder).checksum
    (folder / "masks").mkdir()
    Image.new("L", (40, 30)).save(folder / "masks" / "a.png")
    assert len({before, changed, load(folder).checksum}) == 3


def test_the_checksum_does_not_depend_on_where_the_suite_lies(tmp_path: Path) -> None:
    assert load(users_suite(tmp_path / "here")).checksum == load(users_suite(tmp_path / "else" / "where")).checksum


def test_a_suite_of_ones_own_needs_no_truth_and_no_masks(tmp_path: Path) -> None:
    suite = load(users_suite(tmp_path / "mine"))
    (entry,) = suite.entries
    assert suite.name == "mine"
    assert entry == Entry("a.png", "tune", "photo", "", [])
    assert asdict(entry) == ENTRY
    assert suite.image(entry).is_file()
    assert suite.truth(entry) is None
    assert suite.mask(entry) is None


def test_a_truth_of_ones_own_is_read_by_the_name_of_its_image(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine", [{**ENTRY, "file": "a.jpg"}], truth=True)
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.jpg")
    suite = load(folder)
    truth = suite.truth(suite.entries[0])
    assert truth is not None
    assert truth.shape == (30, 40, 3)
    assert (truth == (90, 120, 40)).all()


def test_a_part_of_a_suite_has_the_chosen_sets_and_buckets_alone(tmp_path: Path) -> None:
    parts = [("tune", "photo"), ("tune", "page"), ("report", "page"), ("promise", "photo")]
    entries = [Entry("a.png", chosen, bucket, "", []) for chosen, bucket in parts]
    suite = Suite("mine", tmp_path, tuple(entries))
    assert suite.only(["tune"]).entries == tuple(entries[:2])
    assert suite.only(["tune", "promise"], ["photo"]).entries == (entries[0], entries[3])
    assert suite.only(["tune", "report", "promise"]) == suite


@pytest.mark.parametrize(
    ("sets", "buckets", "named"),
    [
        (["tuned"], [], "no set 'tuned'"),
        (["tune"], ["sky"], "no bucket 'sky': there are photo"),
        (["report"], [], "no pictures of report"),
    ],
)
def test_a_part_that_a_suite_lacks_is_named(tmp_path: Path, sets: list[str], buckets: list[str], named: str) -> None:
    suite = Suite("mine", tmp_path, (Entry("a.png", "tune", "photo", "", []),))
    with pytest.raises(ValueError, match=named):
        suite.only(sets, buckets)


WRONG = {
    "no suite.json": None,
    "nothing in it": "",
    "words": "these are words",
    "a list": "[1, 2]",
    "no name": '{"entries": []}',
    "no entries": '{"name": "mine"}',
    "entries that are a number": '{"name": "mine", "entries": 5}',
    "an entry that is a word": '{"name": "mine", "entries": ["a.png"]}',
    "an entry without a set": json.dumps({"name": "mine", "entries": [{k: v for k, v in ENTRY.items() if k != "set"}]}),
    "an entry with more than it may have": json.dumps({"name": "mine", "entries": [{**ENTRY, "colour": "red"}]}),
    "an entry of a set that there is not": json.dumps({"name": "mine", "entries": [{**ENTRY, "set": "training"}]}),
    "an entry whose image is missing": json.dumps({"name": "mine", "entries": [{**ENTRY, "file": "none.png"}]}),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_what_is_no_suite_is_one_line_that_names_the_folder(content: str | None, tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine")
    (folder / "suite.json").unlink()
    if content is not None:
        (folder / "suite.json").write_text(content)
    with pytest.raises(ValueError, match="is not a suite") as raised:
        load(folder)
    assert str(raised.value).startswith(str(folder))
    assert "\n" not in str(raised.value)
    assert "Errno" not in str(raised.value)


def test_two_pictures_that_differ_only_in_format_are_refused(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "suite", [ENTRY, {**ENTRY, "file": "a.jpg"}])
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("name"), "suite.json has no key 'name'"),
        (lambda content: content["entries"][0].pop("texts"), r"entry 0 \(a.png\) of suite.json has no key 'texts'"),
        (lambda content: content["entries"][0].update(colour="red"), "unknown key 'colour'; the keys are file, set"),
    ],
)
def test_a_missing_or_an_unknown_key_is_named(tmp_path: Path, change: Callable[..., object], words: str) -> None:
    content = {"name": "s", "entries": [{"file": "a.png", "set": "tune", "bucket": "b", "prompt": "", "texts": []}]}
    change(content)
    (tmp_path / "suite.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        load(tmp_path)
