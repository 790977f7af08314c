"""`write` delivers each image under its path, and commits the ledger rows after it."""

import hashlib
import os

import pyarrow as pa
import pytest

from operators.compose import Compose
from operators.ledger import ledger
from operators.rows.failure import Failure
from operators.rows.schema import PIXEL_COLUMNS, check_schema
from operators.rows.table import map_rows
from operators.write import Write

ORIGINAL, COMPOSED = b"the source's own bytes", b"the composed image"


def failed(table, code):
    def fail(row):
        raise Failure(code, "x")

    return Compose().apply(map_rows(table, "fetch", (), fail))


@pytest.fixture
def dest(tmp_path):
    return str(tmp_path / "dest")


def deliver(dest, table):
    done = Write(dest=dest).apply(table)
    check_schema(done, "write")
    return done.to_pylist()


def delivered(dest, path):
    with open(os.path.join(dest, "images", path), "rb") as file:
        return file.read()


def test_an_edited_image_is_delivered_as_composed(rows, dest):
    [row] = deliver(dest, rows({"path": "sub/a.jpg", "bytes": ORIGINAL, "encoded": COMPOSED, "verdict": "edited"}))
    assert delivered(dest, "sub/a.jpg") == COMPOSED
    assert row["output_uri"] == f"{dest}/images/sub/a.jpg"
    assert row["output_sha256"] == hashlib.sha256(COMPOSED).hexdigest()


def test_writing_has_one_timing(rows, dest):
    [row] = deliver(dest, rows({"path": "a.jpg", "bytes": ORIGINAL, "encoded": COMPOSED, "verdict": "edited"}))
    assert [timing["operator"] for timing in row["timings"]] == ["write"]


def test_a_converted_file_has_the_ending_of_its_format_after_the_name_of_its_source(rows, dest, saved, photo):
    source, edited = saved(photo[:20, :30], "AVIF"), saved(photo[:20, :30], "PNG")
    [row] = deliver(dest, rows({"path": "sub/a.avif", "bytes": source, "encoded": edited, "verdict": "edited"}))
    assert delivered(dest, "sub/a.avif.png") == edited
    assert row["output_uri"] == f"{dest}/images/sub/a.avif.png"
    assert not os.path.exists(f"{dest}/images/sub/a.avif")


def test_a_converted_file_never_takes_the_name_of_another_source(rows, dest, saved, photo, tmp_path, text_region):
    source, edited = saved(photo[:20, :30], "AVIF"), saved(photo[:20, :30], "PNG")
    (tmp_path / "a.avif.png").write_bytes(edited)
    region = {**text_region(1, 2, 3, 4), "state": "erased"}
    texts = {"found": 1, "erased": 1, "kept": 0, "refused": 0}
    table = rows(
        {
            **{"path": "a.avif", "uri": str(tmp_path / "a.avif"), "bytes": source, "encoded": edited, "verdict": "edited"},
            **{"regions": [region], "texts": texts},
        }
    )
    [row] = deliver(dest, table)
    assert (row["verdict"], row["reasons"], row["texts"]["refused"]) == ("rolled_back", ["name_taken"], 1)
    assert delivered(dest, "a.avif") == source
    assert not os.path.exists(f"{dest}/images/a.avif.png")


@pytest.mark.parametrize("verdict", ["untouched", "rolled_back"])
def test_rollback_delivers_the_original_bytes(rows, dest, verdict):
    [row] = deliver(dest, rows({"path": "a.jpg", "bytes": ORIGINAL, "verdict": verdict}))
    assert delivered(dest, "a.jpg") == ORIGINAL
    assert row["output_sha256"] == row["source_sha256"]


def test_a_skipped_image_is_delivered_unchanged(rows, dest):
    table = failed(rows({"path": "a.gif", "bytes": ORIGINAL}), "animated")
    [row] = deliver(dest, table)
    assert delivered(dest, "a.gif") == ORIGINAL
    assert (row["verdict"], row["failure"]["code"]) == ("skipped", "animated")


def test_an_image_that_was_written_wrongly_is_delivered_as_its_source(rows, dest):
    [row] = deliver(dest, failed(rows({"path": "a.tif", "bytes": ORIGINAL}), "written_wrongly"))
    assert delivered(dest, "a.tif") == ORIGINAL
    assert (row["verdict"], row["reasons"]) == ("rolled_back", ["written_wrongly"])
    assert row["output_sha256"] == row["source_sha256"]


@pytest.mark.parametrize("code", ["operator_error", "worker_crashed", "time_limit", "memory_limit", "out_of_memory"])
def test_an_image_whose_work_went_wrong_is_delivered_as_its_source(rows, dest, code):
    [row] = deliver(dest, failed(rows({"path": "a.jpg", "bytes": ORIGINAL}), code))
    assert delivered(dest, "a.jpg") == ORIGINAL
    assert (row["verdict"], row["reasons"]) == ("rolled_back", [code])
    assert (ledger.done_ids(dest, 0) == set()) is (code == "out_of_memory")


def test_an_edit_that_failed_after_it_was_composed_is_not_delivered(rows, dest, text_region):
    region = {**text_region(1, 2, 3, 4), "state": "erased"}
    kept = {**text_region(9, 9, 3, 4), "state": "kept", "reason": "too_high"}
    counts = {"found": 2, "erased": 1, "kept": 1, "refused": 0}
    failure = {"operator": "write", "code": "time_limit", "message": "x"}
    record = {"path": "a.jpg", "bytes": ORIGINAL, "encoded": COMPOSED, "verdict": "edited", "texts": counts}
    [row] = deliver(dest, rows({**record, "regions": [region, kept], "failure": failure}))
    assert delivered(dest, "a.jpg") == ORIGINAL
    assert (row["verdict"], row["reasons"]) == ("rolled_back", ["time_limit"])
    assert row["texts"] == {"found": 2, "erased": 0, "kept": 1, "refused": 1}
    assert [(one["state"], one["reason"]) for one in row["regions"]] == [("refused", "time_limit"), ("kept", "too_high")]


def test_a_skipped_image_that_was_never_read_is_copied(rows, dest, tmp_path):
    (tmp_path / "vast #%.jpg").write_bytes(ORIGINAL)
    table = failed(rows({"path": "a.jpg", "uri": str(tmp_path / "vast #%.jpg")}), "bytes_over_limit")
    [row] = deliver(dest, table)
    assert delivered(dest, "a.jpg") == ORIGINAL
    assert (row["verdict"], row["output_uri"]) == ("skipped", f"{dest}/images/a.jpg")


@pytest.mark.parametrize("code", ["truncated", "storage_error"])
def test_a_failed_image_is_not_delivered(rows, dest, code):
    [row] = deliver(dest, failed(rows({"path": "a.jpg", "bytes": ORIGINAL}), code))
    assert (row["verdict"], row["output_uri"], row["output_sha256"]) == ("failed", None, None)
    assert not os.path.exists(f"{dest}/images")


def test_every_row_reaches_the_ledger_without_pixels(rows, dest, text_region):
    table = rows(
        {"path": "a.jpg", "bytes": ORIGINAL, "encoded": COMPOSED, "verdict": "edited", "regions": [text_region(1, 2, 3, 4)]},
        {"path": "b.jpg", "bytes": ORIGINAL, "verdict": "untouched", "shard": 3},
    ).append_column("licence", pa.array(["CC0", "BY"]))
    deliver(dest, table)
    rows_kept = {row["path"]: row for row in ledger.read(dest).to_pylist()}
    assert set(rows_kept) == {"a.jpg", "b.jpg"}
    assert rows_kept["a.jpg"]["licence"] == "CC0"
    assert rows_kept["a.jpg"]["output_sha256"] == hashlib.sha256(COMPOSED).hexdigest()
    assert "probability" not in rows_kept["a.jpg"]["regions"][0]
    assert not set(PIXEL_COLUMNS) & set(rows_kept["a.jpg"])
    assert sorted(ledger.files_by_shard(dest)) == [0, 3]


def test_a_failed_row_reaches_the_ledger_too(rows, dest):
    deliver(dest, failed(rows({"path": "a.jpg", "bytes": ORIGINAL}), "truncated"))
    [row] = ledger.read(dest).to_pylist()
    assert (row["verdict"], row["failure"]["code"], row["reasons"]) == ("failed", "truncated", ["truncated"])


def test_rows_leave_without_pixels(rows, dest, text_region):
    table = rows({"path": "a.jpg", "bytes": ORIGINAL, "encoded": COMPOSED, "regions": [text_region(1, 2, 3, 4)]})
    [row] = deliver(dest, table)
    assert row["bytes"] is None
    assert row["encoded"] is None
    assert row["regions"][0]["probability"] is None


def test_an_image_that_cannot_be_stored_fails_alone_and_says_why(rows, dest):
    table = rows(
        {"path": "a.jpg", "bytes": ORIGINAL, "verdict": "untouched"},
        {"path": "a.jpg/b.jpg/c.jpg", "bytes": ORIGINAL, "verdict": "untouched"},
        {"path": "d.jpg", "bytes": ORIGINAL, "verdict": "untouched"},
    )
    os.makedirs(f"{dest}/images")
    with open(f"{dest}/images/a.jpg", "wb"):
        pass
    done = deliver(dest, table)
    assert [row["verdict"] for row in done] == ["untouched", "failed", "untouched"]
    assert done[1]["reasons"] == ["output_path_conflict"]
    assert done[1]["output_uri"] is None
    assert ledger.done_ids(dest, 0) == {row["image_id"] for row in done}


def test_a_skipped_image_that_cannot_be_stored_is_redone_or_failed_but_not_called_delivered(rows, dest, tmp_path):
    table = failed(rows({"path": "a.jpg", "uri": str(tmp_path / "gone.jpg")}), "bytes_over_limit")
    [row] = deliver(dest, table)
    assert (row["verdict"], row["failure"]["code"], row["output_uri"]) == ("failed", "key_missing", None)


def test_images_are_stored_before_their_ledger_rows(rows, dest):
    os.makedirs(dest)
    with open(f"{dest}/ledger", "wb"):
        pass
    with pytest.raises(Failure):
        Write(dest=dest).apply(rows({"path": "a.jpg", "bytes": ORIGINAL, "verdict": "untouched"}))
    assert delivered(dest, "a.jpg") == ORIGINAL


def test_doing_a_group_again_leaves_the_same_files(rows, dest):
    table = rows(*({"path": f"{number}.jpg", "bytes": bytes([number]), "verdict": "untouched"} for number in range(20)))
    deliver(dest, table)
    before = sorted(os.path.join(folder, name) for folder, _, names in os.walk(dest) for name in names)
    deliver(dest, table)
    assert sorted(os.path.join(folder, name) for folder, _, names in os.walk(dest) for name in names) == before
    assert len(ledger.read(dest)) == 20
