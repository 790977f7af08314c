"""The ledger's parts, their order of precedence, and compaction."""

import pyarrow as pa
import pytest

from operators.ledger.ledger import COMPLETE, commit, compact, done_ids, files_by_shard, read, shard_folder
from operators.rows.schema import LEDGER_SCHEMA
from operators.storage import files as storage


def entries(*ids, code=None, verdict="edited", shard=0, **own):
    failure = None if code is None else {"operator": "fetch", "code": code, "message": "x"}
    records = [
        {"image_id": image_id, "shard": shard, "verdict": verdict, "failure": failure, "regions": [], **own} for image_id in ids
    ]
    schema = LEDGER_SCHEMA
    for name, value in own.items():
        schema = schema.append(pa.field(name, pa.scalar(value).type))
    return pa.Table.from_pylist(records, schema=schema)


@pytest.fixture
def dest(tmp_path):
    return str(tmp_path)


def verdicts(dest):
    table = read(dest)
    return dict(zip(table["image_id"].to_pylist(), table["verdict"].to_pylist(), strict=True))


# --- parts


def test_an_empty_destination_has_an_empty_ledger(dest):
    assert read(dest).equals(LEDGER_SCHEMA.empty_table())
    assert done_ids(dest, 0) == set()
    assert files_by_shard(dest) == {}


def test_committed_rows_are_read_back(dest):
    rows = pa.concat_tables([entries("a", "b"), entries("c", code="not_an_image", verdict="failed")])
    commit(dest, rows)
    assert read(dest).sort_by("image_id").equals(rows)
    assert done_ids(dest, 0) == {"a", "b", "c"}


def test_a_batch_of_several_shards_becomes_a_part_in_each(dest):
    commit(dest, pa.concat_tables([entries("a", shard=0), entries("b", shard=7), entries("c", shard=0)]))
    assert {shard: len(files) for shard, files in files_by_shard(dest).items()} == {0: 1, 7: 1}
    assert done_ids(dest, 0) == {"a", "c"}
    assert done_ids(dest, 7) == {"b"}


def test_the_name_of_a_part_does_not_depend_on_the_order_of_its_rows(dest):
    commit(dest, entries("a", "b"))
    first = files_by_shard(dest)
    commit(dest, entries("b", "a"))
    assert files_by_shard(dest) == first
    commit(dest, entries("a", "c"))
    assert len(files_by_shard(dest)[0]) == 2


def test_parts_that_differ_only_in_which_image_failed_are_both_kept(dest):
    commit(dest, pa.concat_tables([entries("a"), entries("b", code="storage_error", verdict="failed")]))
    commit(dest, pa.concat_tables([entries("a", code="storage_error", verdict="failed"), entries("b")]))
    assert len(files_by_shard(dest)[0]) == 2
    assert verdicts(dest) == {"a": "edited", "b": "edited"}


def test_own_columns_reach_the_ledger(dest):
    commit(dest, entries("a", licence="CC0"))
    assert read(dest)["licence"].to_pylist() == ["CC0"]


@pytest.mark.parametrize("code", ["storage_error", "access_denied", "out_of_memory", "disk_full", "worker_lost"])
def test_a_transient_failure_is_not_done(dest, code):
    commit(dest, pa.concat_tables([entries("a"), entries("b", code=code, verdict="failed")]))
    assert done_ids(dest, 0) == {"a"}
    assert not compact(dest, 0, 2)


@pytest.mark.parametrize("code", ["key_missing", "corrupt", "animated", "operator_error"])
def test_a_final_failure_is_done(dest, code):
    commit(dest, entries("a", code=code, verdict="failed"))
    assert done_ids(dest, 0) == {"a"}


@pytest.mark.parametrize("number", range(5))
def test_a_done_row_supersedes_a_transient_failure(dest, number):
    both = [f"{number}a", f"{number}b"]
    commit(dest, pa.concat_tables([entries(both[0]), entries(both[1], code="storage_error", verdict="failed")]))
    commit(dest, entries(both[1]))
    assert verdicts(dest) == {both[0]: "edited", both[1]: "edited"}
    assert done_ids(dest, 0) == set(both)


def test_redoing_a_whole_failed_group_supersedes_it(dest):
    commit(dest, entries("a", "b", code="storage_error", verdict="failed"))
    commit(dest, entries("a", "b"))
    assert verdicts(dest) == {"a": "edited", "b": "edited"}


def test_a_final_failure_supersedes_a_transient_one(dest):
    commit(dest, entries("a", code="storage_error", verdict="failed"))
    commit(dest, entries("a", code="corrupt", verdict="failed"))
    assert [row["failure"]["code"] for row in read(dest).to_pylist()] == ["corrupt"]


def test_a_group_done_again_leaves_one_row_per_image(dest):
    commit(dest, entries("a", "b"))
    commit(dest, entries("b", "c"))
    assert sorted(read(dest)["image_id"].to_pylist()) == ["a", "b", "c"]


# --- compaction


def test_a_complete_shard_is_compacted_to_one_file_with_the_same_rows(dest):
    commit(dest, entries("b", "c"))
    commit(dest, entries("d", code="worker_lost", verdict="failed"))
    commit(dest, entries("a", "d"))
    before = read(dest).sort_by("image_id")
    assert compact(dest, 0, 4)
    assert files_by_shard(dest) == {0: [COMPLETE]}
    assert read(dest).equals(before)
    assert done_ids(dest, 0) == {"a", "b", "c", "d"}


def test_an_incomplete_shard_keeps_its_parts(dest):
    commit(dest, entries("a", "b"))
    before = files_by_shard(dest)
    assert not compact(dest, 0, 3)
    assert files_by_shard(dest) == before


def test_compacting_twice_changes_nothing(dest):
    commit(dest, entries("a", "b"))
    assert compact(dest, 0, 2)
    before = read(dest)
    assert compact(dest, 0, 2)
    assert read(dest).equals(before)


def test_dying_between_the_compacted_file_and_the_removal_of_parts_loses_nothing(dest):
    commit(dest, entries("a"))
    commit(dest, entries("b"))
    [first, second] = [storage.join(shard_folder(dest, 0), name) for name in files_by_shard(dest)[0]]
    left_behind = storage.read(second)
    before = read(dest).sort_by("image_id")
    assert compact(dest, 0, 2)
    storage.write(second, left_behind)
    assert read(dest).equals(before)
    assert done_ids(dest, 0) == {"a", "b"}
    assert compact(dest, 0, 2)
    assert files_by_shard(dest) == {0: [COMPLETE]}
    assert read(dest).equals(before)
    assert not storage.exists(first)


def test_a_half_written_part_is_not_seen(dest):
    commit(dest, entries("a"))
    storage.write(storage.join(shard_folder(dest, 0), ".0123.partial"), b"PAR1 half")
    assert done_ids(dest, 0) == {"a"}
    assert len(read(dest)) == 1
