import pyarrow as pa
import pytest

from operators.ledger import index, ledger
from operators.ledger.index import build, read_shard, shard_uri
from operators.ledger.superseded import forget
from operators.rows.schema import LEDGER_SCHEMA
from operators.storage import files as storage


@pytest.fixture
def dest(tree, tmp_path):
    """A destination whose index holds four images, all of them worked."""
    dest = str(tmp_path / "dest")
    build(tree("a.jpg", "b.jpg", "c.jpg", "d.jpg"), dest)
    return dest


def worked(dest, paths):
    rows = [row for row in read_shard(dest, 0).to_pylist() if row["path"] in paths]
    ledger.commit(dest, pa.Table.from_pylist([{**row, "verdict": "untouched"} for row in rows], schema=LEDGER_SCHEMA))


def ids(dest, *paths):
    return [row["image_id"] for row in read_shard(dest, 0).to_pylist() if row["path"] in paths]


def paths_of(table):
    return sorted(table["path"].to_pylist())


def test_an_image_leaves_index_and_ledger_and_the_others_stay(dest):
    worked(dest, ["a.jpg", "b.jpg"])
    worked(dest, ["c.jpg"])
    assert forget(dest, 0, ids(dest, "b.jpg", "c.jpg"), shard_uri(dest, 0)) == 2
    assert paths_of(read_shard(dest, 0)) == ["a.jpg", "d.jpg"]
    assert paths_of(ledger.read(dest)) == ["a.jpg"]


def test_a_compacted_shard_stays_complete(dest):
    worked(dest, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert ledger.compact(dest, 0, 4)
    assert forget(dest, 0, ids(dest, "b.jpg"), shard_uri(dest, 0)) == 3
    assert ledger.files_by_shard(dest) == {0: [ledger.COMPLETE]}
    assert paths_of(ledger.read(dest)) == ["a.jpg", "c.jpg", "d.jpg"]


def test_an_image_that_was_not_worked_yet_leaves_the_index(dest):
    assert forget(dest, 0, ids(dest, "a.jpg"), shard_uri(dest, 0)) == 3
    assert ledger.files_by_shard(dest) == {}


def test_a_shard_without_images_is_gone(dest):
    worked(dest, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert forget(dest, 0, ids(dest, "a.jpg", "b.jpg", "c.jpg", "d.jpg"), shard_uri(dest, 0)) == 0
    assert index.shards(dest) == []
    assert ledger.files_by_shard(dest) == {}
    assert not storage.exists(shard_uri(dest, 0))
