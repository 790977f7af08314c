"""Manifests: lists of images in several formats, and images inside Parquet files."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.ledger.index import build, read_shard
from operators.rows.failure import RunError
from operators.rows.schema import INDEX_COLUMNS
from operators.storage.listing import list_source, output_path
from operators.storage.manifest_paths import path_of_row, uri_of_row


def paths(source, excluded="/nowhere"):
    return sorted(found.path for found in list_source(source, excluded))


def code_of(call):
    with pytest.raises(RunError) as caught:
        call()
    return caught.value.code


def manifest_of(tmp_path, count, **columns):
    path = str(tmp_path / "list.parquet")
    pq.write_table(pa.table({"uri": [f"s3://bucket/{number}.jpg" for number in range(count)], **columns}), path)
    return path


def test_uris_of_a_manifest_never_share_an_output_path(tmp_path):
    uris = ["s3://bucket/a.jpg", "gs://bucket/a.jpg", "/bucket/a.jpg", "bucket/a.jpg"]
    pq.write_table(pa.table({"uri": uris}), tmp_path / "list.parquet")
    found = list(list_source(str(tmp_path / "list.parquet"), "/nowhere"))
    assert [item.uri for item in found] == [*uris[:3], str(tmp_path / "bucket" / "a.jpg")]
    assert len({output_path(item.path) for item in found}) == len(uris)


def test_relative_paths_count_from_the_folder_of_their_manifest(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shop" / "lists").mkdir(parents=True)
    (tmp_path / "shop" / "lists" / "all.csv").write_text("uri\nacme/1.jpg\n./b/../2.jpg\n../3.jpg\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = list(list_source("../shop/lists/all.csv"))
    folder = tmp_path / "shop"
    assert [image.uri for image in found] == [f"{folder}/lists/acme/1.jpg", f"{folder}/lists/2.jpg", f"{folder}/3.jpg"]
    assert [image.path for image in found] == ["acme/1.jpg", "2.jpg", f"local{folder}/3.jpg"]


def test_relative_paths_of_a_manifest_in_a_bucket_are_in_the_bucket():
    assert uri_of_row("acme/1.jpg", "s3://bucket/lists/all.csv") == "s3://bucket/lists/acme/1.jpg"
    assert path_of_row("../1.jpg", "s3://bucket/lists/all.csv") == "s3/bucket/1.jpg"
    assert uri_of_row("https://host/1.jpg", "s3://bucket/all.csv") == "https://host/1.jpg"


def test_user_columns_of_a_manifest_keep_their_values_and_types(tmp_path):
    own = {
        "licence": pa.array(["CC0", None, "BY"]),
        "year": pa.array([1999, None, 2001], pa.uint16()),
        "taken": pa.array([datetime.datetime(2001, 2, 3, 4, 5, 6, 789)] * 3, pa.timestamp("us", "UTC")),
        "tags": pa.array([["a", "b"], [], None], pa.list_(pa.string())),
        "place": pa.array([{"lat": 1.5, "lon": 2.5}] * 3, pa.struct([("lat", pa.float32()), ("lon", pa.float64())])),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    dest = str(tmp_path / "dest")
    build(manifest_of(tmp_path, 3, **own), dest)
    table = read_shard(dest, 0)
    assert table.schema.names == [*INDEX_COLUMNS, *own]
    for name, values in own.items():
        assert table[name].type == values.type
        assert table[name].to_pylist() == values.to_pylist()


def test_times_in_user_columns_keep_their_nanoseconds(tmp_path):
    taken = pa.array([1_000_000_000_000_000_123], pa.timestamp("ns"))
    build(manifest_of(tmp_path, 1, taken=taken), str(tmp_path / "dest"))
    assert read_shard(str(tmp_path / "dest"), 0)["taken"].cast(pa.int64()).to_pylist() == [1_000_000_000_000_000_123]


def test_a_manifest_may_give_the_version_of_an_object(tmp_path):
    source, dest = manifest_of(tmp_path, 2, etag=["1", "1"]), str(tmp_path / "dest")
    build(source, dest)
    manifest_of(tmp_path, 2, etag=["1", "2"])
    assert build(source, dest) == {0: 1, 1: 1}
    assert read_shard(dest, 0)["etag"].to_pylist() == ["1"]
    assert read_shard(dest, 1)["etag"].to_pylist() == ["2"]


def test_only_the_first_occurrence_of_a_uri_counts(tmp_path):
    source, dest = manifest_of(tmp_path, 2, etag=["1", "1"]), str(tmp_path / "dest")
    pq.write_table(pa.table({"uri": ["s3://b/a", "s3://b/a", "s3://b/c"], "etag": ["1", "2", "1"]}), source)
    for _ in range(2):
        assert build(source, dest) == {0: 2}
        assert read_shard(dest, 0)["etag"].to_pylist() == ["1", "1"]


def test_a_manifest_takes_whatever_it_names_and_does_not_know_its_size(tmp_path):
    pq.write_table(pa.table({"uri": ["s3://bucket/object-without-extension"]}), tmp_path / "list.parquet")
    dest = str(tmp_path / "dest")
    build(str(tmp_path / "list.parquet"), dest)
    [row] = read_shard(dest, 0).to_pylist()
    assert (row["uri"], row["size"]) == ("s3://bucket/object-without-extension", None)


def test_a_manifest_without_uris_or_with_a_column_of_the_row_is_refused(tmp_path):
    pq.write_table(pa.table({"url": ["x"]}), tmp_path / "a.parquet")
    assert code_of(lambda: paths(str(tmp_path / "a.parquet"))) == "manifest_invalid"
    source = manifest_of(tmp_path, 1, verdict=["edited"])
    with pytest.raises(RunError, match=r"manifest_invalid: .*verdict"):
        paths(source)


# --- other formats


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", 'uri,licence,year\ns3://b/a.jpg,NA,1999\n"s3://b/c,d ""e"".jpg",,007\n'),
        ("LIST.CSV", '\ufeffuri,licence,year\r\ns3://b/a.jpg,NA,1999\r\n"s3://b/c,d ""e"".jpg",,007\r\n'),
    ],
)
def test_user_columns_of_a_csv_manifest_are_strings(tmp_path, name, text):
    (tmp_path / name).write_text(text, newline="")
    assert build(str(tmp_path / name), str(tmp_path / "dest")) == {0: 2}
    rows = read_shard(str(tmp_path / "dest"), 0).select(["uri", "licence", "year"])
    assert rows.to_pylist() == [
        {"uri": "s3://b/a.jpg", "licence": "NA", "year": "1999"},
        {"uri": 's3://b/c,d "e".jpg', "licence": None, "year": "007"},
    ]


@pytest.mark.parametrize("name", ["list.jsonl", "list.ndjson"])
def test_a_manifest_of_json_lines_keeps_its_types(tmp_path, name):
    (tmp_path / name).write_text(
        '{"uri": "s3://b/a.jpg", "year": 1999, "tags": ["x"]}\n{"uri": "s3://b/b.jpg", "weight": 0.5}\n'
    )
    build(str(tmp_path / name), str(tmp_path / "dest"))
    rows = read_shard(str(tmp_path / "dest"), 0)
    assert rows.select(["uri", "year", "tags", "weight"]).to_pylist() == [
        {"uri": "s3://b/a.jpg", "year": 1999, "tags": ["x"], "weight": None},
        {"uri": "s3://b/b.jpg", "year": None, "tags": None, "weight": 0.5},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"url\nx\n"),
        ("a.csv", b"uri,year\nx\n"),
        ("a.csv", b"uri\n\xff\xfe\n"),
        ("a.csv", b""),
        ("a.jsonl", b'{"uri": "x"\n'),
        ("a.jsonl", b'{"uri": null}\n'),
        ("a.jsonl", b""),
        ("a.parquet", b"these are words"),
        ("a.parquet", b""),
    ],
)
def test_a_manifest_that_cannot_be_read_is_reported_with_its_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match="manifest_invalid") as refused:
        paths(str(tmp_path / name))
    assert str(tmp_path / name) in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_glob_of_files_is_one_manifest(tmp_path):
    for part in range(3):
        table = pa.table({"uri": [f"s3://b/{part}-{row}.jpg" for row in range(2)], "part": [part, part]})
        pq.write_table(table, tmp_path / f"part-{part}.parquet")
    assert build(f"{tmp_path}/part-*.parquet", str(tmp_path / "dest")) == {0: 6}
    assert read_shard(str(tmp_path / "dest"), 0)["part"].to_pylist() == [0, 0, 1, 1, 2, 2]
    pq.write_table(pa.table({"uri": ["s3://b/x.jpg"], "other": [1]}), tmp_path / "part-9.parquet")
    with pytest.raises(RunError, match=r"manifest_invalid: .*part-9\.parquet has other user columns"):
        build(f"{tmp_path}/part-*.parquet", str(tmp_path / "again"))


def test_a_manifest_streams(tmp_path):
    """A faulty line is reported when it is reached, not before."""
    lines = ["uri", *(f"s3://bucket/{number}.jpg" for number in range(200_000)), "one,too many"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    listing = list_source(str(tmp_path / "list.csv"), "/nowhere")
    assert next(listing).uri == "s3://bucket/0.jpg"
    with pytest.raises(RunError, match="manifest_invalid"):
        list(listing)


# --- images inside


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_a_parquet_file_of_images_lists_them_by_row(tmp_path):
    file = tmp_path / "in.parquet"
    pq.write_table(pa.table({"picture": [b"first", b"second", None], "label": [7, 8, 9]}), file, row_group_size=2)
    found = list(list_source(str(file), "/nowhere"))
    assert [item.uri for item in found] == [f"{file}#row={row}&column=picture" for row in range(3)]
    assert [(item.path, item.own) for item in found] == [(f"in.parquet/{row}", {"label": 7 + row}) for row in range(3)]
    assert {item.etag for item in found} == {f"{file.stat().st_size}-{file.stat().st_mtime_ns}"}


def test_images_with_names_keep_them(tmp_path):
    cells = [{"bytes": b"x", "path": "cats/a.jpg"}, {"bytes": b"y", "path": None}, None, {"bytes": b"z", "path": "../a.jpg"}]
    pq.write_table(pa.table({"image": pa.array(cells, STRUCT), "label": [1, 2, 3, 4]}), tmp_path / "in.parquet")
    listed = paths(str(tmp_path / "in.parquet"))
    assert listed == ["in.parquet/0/a.jpg", "in.parquet/1", "in.parquet/2", "in.parquet/3/a.jpg"]


def test_parts_of_one_dataset_never_share_an_output_path(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cells = [{"bytes": b"x", "path": "0.jpg"}] * 2
        pq.write_table(pa.table({"image": pa.array(cells, STRUCT)}), tmp_path / folder / "0.parquet")
    assert paths(f"{tmp_path}/**/*.parquet") == [f"{part}/0.parquet/{row}/0.jpg" for part in "ab" for row in range(2)]


def test_the_source_names_one_of_several_columns_of_images(tmp_path):
    file = str(tmp_path / "in.parquet")
    pq.write_table(pa.table({"image": [b"x"], "mask": [b"y"], "label": [1]}), file)
    with pytest.raises(RunError, match=r"several columns of images; add #column=: image, mask"):
        paths(file)
    [found] = list_source(f"{file}#column=mask", "/nowhere")
    assert (found.uri, found.own) == (f"{file}#row=0&column=mask", {"label": 1})
    with pytest.raises(RunError, match=r"manifest_invalid: .*no column 'other' of images; there are: image, mask"):
        paths(f"{file}#column=other")


def test_the_images_of_a_changed_file_are_indexed_again(tmp_path):
    file, dest = tmp_path / "in.parquet", str(tmp_path / "dest")
    pq.write_table(pa.table({"image": [b"x", b"y"]}), file)
    assert build(str(file), dest) == {0: 2}
    assert build(str(file), dest) == {0: 2}
    pq.write_table(pa.table({"image": [b"x", b"z", b"w"]}), file)
    assert build(str(file), dest) == {1: 3}
