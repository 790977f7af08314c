"""The addresses of the images alone decide which part takes them; each part has its own shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.ledger import index
from operators.ledger.lease import Lease
from operators.ledger.part import WHOLE, Part, hold
from operators.rows.failure import RunError

ADDRESSES = [f"s3://bucket/{number:05d}.jpg" for number in range(10_000)]


@pytest.mark.parametrize("of", [1, 2, 3, 16])
def test_every_address_belongs_to_exactly_one_part(of: int) -> None:
    parts = [Part(number, of) for number in range(1, of + 1)]
    assert all([part.takes(uri) for part in parts].count(True) == 1 for uri in ADDRESSES)


def test_parts_are_about_equal() -> None:
    counts = [sum(Part(number, 16).takes(uri) for uri in ADDRESSES) for number in range(1, 17)]
    assert sum(counts) == 10_000
    assert min(counts) > 500 and max(counts) < 750


def test_the_share_of_a_part_never_changes() -> None:
    taken = [number for number, uri in enumerate(ADDRESSES[:20]) if Part(3, 4).takes(uri)]
    assert taken == [1, 3, 4, 5, 6, 7, 11, 13, 16]


def test_every_shard_belongs_to_exactly_one_part() -> None:
    shards = [[shard for shard in range(12) if Part(number, 4).has_shard(shard)] for number in range(1, 5)]
    assert shards == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "", "1", "/", "1/", "/4", "-1/4", "1/0", "1.5/4", "1/4/2", "1/1000000"])
def test_what_is_no_part_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RunError) as refused:
        Part.parse(text)
    assert (refused.value.code, refused.value.exit_code) == ("option_invalid", 2)
    assert refused.value.message == f"--part {text}: give a number and how many parts there are, such as 3/16"


def test_a_part_is_read_as_it_is_written() -> None:
    assert Part.parse("3/16") == Part(3, 16)
    assert str(Part(3, 16)) == "3/16"
    assert Part.parse("1/1") == WHOLE


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes(b"")
    return folder


def rows(dest: str) -> list[tuple[str, int]]:
    tables = [index.read_shard(dest, shard) for shard in index.shards(dest)]
    return [pair for table in tables for pair in zip(table["path"].to_pylist(), table["shard"].to_pylist(), strict=True)]


def test_the_index_of_all_parts_holds_every_image_once(source: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "out")
    for number in (3, 1, 2):
        part = Part(number, 3)
        sizes = index.build(str(source), dest, part=part)
        assert set(sizes) == {number - 1} == set(index.shards(dest, part))
    assert sorted(path for path, _ in rows(dest)) == sorted(f"{number}.png" for number in range(20))


def test_new_images_of_a_part_get_the_next_of_its_shards(source: Path, tmp_path: Path) -> None:
    dest, part = str(tmp_path / "out"), Part(2, 3)
    before = index.build(str(source), dest, part=part)
    for number in range(20, 40):
        (source / f"{number}.png").write_bytes(b"")
    after = index.build(str(source), dest, part=part)
    assert list(before) == [1]
    assert list(after) == [1, 4]
    assert after[1] == before[1]


def test_a_limit_counts_the_images_of_all_parts(source: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "out")
    sizes = [sum(index.build(str(source), dest, 7, part=Part(number, 3)).values()) for number in (1, 2, 3)]
    assert sum(sizes) == 7


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(Lease, "EXPIRY_SECONDS", 0.5)


def test_parts_hold_their_leases_side_by_side(tmp_path: Path) -> None:
    dest = str(tmp_path)
    with (
        hold(dest, Part(1, 2)),
        hold(dest, Part(2, 2)),
        pytest.raises(RunError, match="destination_in_use"),
        hold(dest, Part(1, 2)),
    ):
        pass


def test_the_whole_and_a_part_exclude_each_other(tmp_path: Path) -> None:
    dest = str(tmp_path)
    with hold(dest, Part(1, 2)), pytest.raises(RunError, match="destination_in_use"), hold(dest):
        pass
    with hold(dest), pytest.raises(RunError, match="destination_in_use"), hold(dest, Part(1, 2)):
        pass
    with hold(dest, Part(1, 2)):
        pass


def test_the_lease_of_an_undivided_run_is_where_it_was(tmp_path: Path) -> None:
    with hold(str(tmp_path)), pytest.raises(RunError, match="destination_in_use"), Lease(str(tmp_path)).hold():
        pass
