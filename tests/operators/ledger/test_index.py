"""The index: shards of new images, and images that a changed version replaces."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.ledger import index, ledger
from operators.ledger.index import FIRST_SHARD_ROWS, LARGEST_SHARD_ROWS, build, drop_changed, read_shard, shard_uri
from operators.rows.schema import INDEX_SCHEMA, LEDGER_SCHEMA
from operators.storage import files as storage

NAMES = ["plain.jpg", "two words.png", "a#b.webp", "50%25.tif", "Größe 漢字.bmp", "[1].gif", "UPPER.JPEG"]


def sizes_of(dest):
    return {shard: len(read_shard(dest, shard)) for shard in index.shards(dest)}


def indexed(dest, sizes):
    return pa.concat_tables([read_shard(dest, shard) for shard in sorted(sizes)]).to_pylist()


def manifest_of(tmp_path, count, **columns):
    path = str(tmp_path / "list.parquet")
    pq.write_table(pa.table({"uri": [f"s3://bucket/{number}.jpg" for number in range(count)], **columns}), path)
    return path


def test_a_name_that_is_not_utf_8_does_not_end_the_run(tree, tmp_path):
    source = tree("a.jpg")
    with open(os.fsencode(source) + b"/bad\xff.jpg", "wb") as file:
        file.write(b"x")
    sizes = build(source, str(tmp_path / "dest"))
    assert "a.jpg" in [row["path"] for row in indexed(str(tmp_path / "dest"), sizes)]


def test_the_index_holds_the_columns_that_a_row_starts_from(tree, tmp_path):
    source, dest = tree(*NAMES), str(tmp_path / "dest")
    sizes = build(source, dest)
    assert sizes == {0: len(NAMES)}
    table = read_shard(dest, 0)
    assert table.schema.equals(INDEX_SCHEMA)
    assert sorted(table["path"].to_pylist()) == sorted(NAMES)
    assert set(table["shard"].to_pylist()) == {0}


def test_indexing_again_adds_only_what_is_new(tree, tmp_path):
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    first = build(source, dest)
    before = read_shard(dest, 0)
    assert build(source, dest) == first
    tree("c.jpg")
    assert build(source, dest) == {0: 2, 1: 1}
    assert read_shard(dest, 0).equals(before)
    assert read_shard(dest, 1)["path"].to_pylist() == ["c.jpg"]


def test_a_changed_image_replaces_its_earlier_version(tree, tmp_path):
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.utime(f"{source}/b.jpg", ns=(1, 1))
    sizes = build(source, dest)
    assert sizes == {0: 1, 1: 1}
    assert sizes_of(dest) == sizes
    assert [row["path"] for row in indexed(dest, sizes)] == ["a.jpg", "b.jpg"]
    assert read_shard(dest, 1)["etag"].to_pylist() == ["1-1"]
    assert build(source, dest) == sizes


def test_a_shard_of_changed_images_only_is_gone(tree, tmp_path):
    source, dest = tree("a.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.utime(f"{source}/a.jpg", ns=(1, 1))
    assert build(source, dest) == {1: 1}
    assert index.shards(dest) == [1]


def test_an_image_that_is_gone_keeps_its_row(tree, tmp_path):
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.remove(f"{source}/a.jpg")
    assert build(source, dest) == {0: 2}


def test_the_next_indexing_completes_a_change_that_was_half_recorded(tree, tmp_path, monkeypatch):
    """As after a driver that died between putting the new row and removing the old one."""
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.utime(f"{source}/b.jpg", ns=(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(index, "drop_changed", lambda *arguments: 2)
        build(source, dest)
    assert sizes_of(dest) == {0: 2, 1: 1}
    assert build(source, dest) == {0: 1, 1: 1}
    assert sizes_of(dest) == {0: 1, 1: 1}


def test_a_limit_takes_the_first_of_the_listing(tree, tmp_path):
    source, dest = tree(*(f"{number}.jpg" for number in range(9))), str(tmp_path / "dest")
    assert build(source, dest, limit=4) == {0: 4}
    assert build(source, dest, limit=4) == {0: 4}
    assert build(source, dest, limit=6) == {0: 4, 1: 2}


def test_nothing_to_index_makes_no_shard(tree, tmp_path):
    assert build(tree("notes.txt"), str(tmp_path / "dest")) == {}


def test_shards_double_in_size_and_never_exceed_the_largest(tmp_path):
    count = 3 * LARGEST_SHARD_ROWS + 17
    sizes = build(manifest_of(tmp_path, count), str(tmp_path / "dest"))
    assert sum(sizes.values()) == count
    assert sizes[0] == FIRST_SHARD_ROWS
    full = [sizes[shard] for shard in sorted(sizes)][:-1]
    assert full == [min(FIRST_SHARD_ROWS * 2**position, LARGEST_SHARD_ROWS) for position in range(len(full))]
    assert sizes_of(str(tmp_path / "dest")) == sizes


def test_every_image_is_indexed_once_with_its_shard(tmp_path):
    dest = str(tmp_path / "dest")
    sizes = build(manifest_of(tmp_path, 300), dest)
    rows = indexed(dest, sizes)
    assert len({row["image_id"] for row in rows}) == 300
    for shard in sizes:
        assert set(read_shard(dest, shard)["shard"].to_pylist()) == {shard}


@pytest.fixture
def dest(tree, tmp_path):
    """A destination whose index holds four images."""
    dest = str(tmp_path / "dest")
    build(tree("a.jpg", "b.jpg", "c.jpg", "d.jpg"), dest)
    return dest


def commit(dest, paths):
    rows = [row for row in read_shard(dest, 0).to_pylist() if row["path"] in paths]
    ledger.commit(dest, pa.Table.from_pylist([{**row, "verdict": "untouched"} for row in rows], schema=LEDGER_SCHEMA))


def ids(dest, *paths):
    return [row["image_id"] for row in read_shard(dest, 0).to_pylist() if row["path"] in paths]


def paths_of(table):
    return sorted(table["path"].to_pylist())


def test_an_image_leaves_index_and_ledger_and_the_others_stay(dest):
    commit(dest, ["a.jpg", "b.jpg"])
    commit(dest, ["c.jpg"])
    assert drop_changed(dest, 0, ids(dest, "b.jpg", "c.jpg"), shard_uri(dest, 0)) == 2
    assert paths_of(read_shard(dest, 0)) == ["a.jpg", "d.jpg"]
    assert paths_of(ledger.read(dest)) == ["a.jpg"]


def test_a_compacted_shard_stays_complete(dest):
    commit(dest, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert ledger.compact(dest, 0, 4)
    assert drop_changed(dest, 0, ids(dest, "b.jpg"), shard_uri(dest, 0)) == 3
    assert ledger.files_by_shard(dest) == {0: [ledger.COMPLETE]}
    assert paths_of(ledger.read(dest)) == ["a.jpg", "c.jpg", "d.jpg"]


def test_an_image_without_a_ledger_row_leaves_the_index(dest):
    assert drop_changed(dest, 0, ids(dest, "a.jpg"), shard_uri(dest, 0)) == 3
    assert ledger.files_by_shard(dest) == {}


def test_a_shard_without_images_is_gone(dest):
    commit(dest, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert drop_changed(dest, 0, ids(dest, "a.jpg", "b.jpg", "c.jpg", "d.jpg"), shard_uri(dest, 0)) == 0
    assert index.shards(dest) == []
    assert ledger.files_by_shard(dest) == {}
    assert not storage.exists(shard_uri(dest, 0))
