import datetime
import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import index
from operators.failure import RunError
from operators.found import Found
from operators.index import FIRST_SHARD_ROWS, LARGEST_SHARD_ROWS, build, read_shard
from operators.listing import list_source, output_path
from operators.row import INDEX_COLUMNS, SCHEMA

NAMES = ["plain.jpg", "two words.png", "a#b.webp", "50%25.tif", "Größe 漢字.bmp", "[1].gif", "UPPER.JPEG"]


@pytest.fixture
def tree(tmp_path):
    """Makes files of one byte each under a folder, and returns the folder."""

    def make(*names, folder="source"):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return str(tmp_path / folder)

    return make


def paths(source, excluded="/nowhere"):
    return sorted(found.path for found in list_source(source, excluded))


def indexed(dest, sizes):
    return pa.concat_tables([read_shard(dest, shard) for shard in sorted(sizes)]).to_pylist()


def code_of(call):
    with pytest.raises(RunError) as caught:
        call()
    return caught.value.code


# --- listing


def test_a_folder_lists_every_image_under_it(tree):
    source = tree(*NAMES, "deep/er/a.png", "notes.txt", "a.jpg.json", ".hidden.jpg", "noextension")
    assert paths(source) == sorted([*NAMES, "deep/er/a.png"])


def test_a_listed_file_has_its_uri_size_and_version(tree):
    source = tree("sub/a b#%.jpg")
    [found] = list_source(source, "/nowhere")
    assert (found.uri, found.path, found.size) == (f"{source}/sub/a b#%.jpg", "sub/a b#%.jpg", 1)


def test_a_listing_streams(tree):
    source = tree("a.jpg", "sub/b.jpg")
    listing = list_source(source, "/nowhere")
    assert next(listing).path == "a.jpg"
    tree("sub/made-meanwhile.jpg")
    assert {found.path for found in listing} == {"sub/b.jpg", "sub/made-meanwhile.jpg"}


def test_a_single_file_is_a_source(tree):
    source = tree("sub/a.jpg", "sub/b.jpg")
    assert paths(f"{source}/sub/b.jpg") == ["b.jpg"]


def test_a_file_url_lists_like_a_path(tree):
    source = tree("a.jpg")
    assert [found.image_id for found in list_source(f"file://{source}", "/nowhere")] == [
        found.image_id for found in list_source(source, "/nowhere")
    ]


@pytest.mark.parametrize("pattern", ["", "/*", "/**/*.jpg"])
def test_a_destination_inside_the_source_is_left_out(tree, pattern):
    source = tree("a.jpg", "out/images/a.jpg", "outer/b.jpg")
    assert "out/images/a.jpg" not in paths(source + pattern, f"{source}/out")
    assert paths(source, f"{source}/out/") == ["a.jpg", "outer/b.jpg"]


def test_a_glob_lists_what_matches_below_the_folder_before_its_first_wildcard(tree):
    source = tree("a.jpg", "a.png", "data.bin", "sub/b.jpg", "sub/er/c.jpg")
    assert paths(f"{source}/sub/*.jpg")[0] == "b.jpg"
    assert paths(f"{source}/**/*.jpg") == ["a.jpg", "sub/b.jpg", "sub/er/c.jpg"]
    assert paths(f"{source}/da?a.bin") == ["data.bin"]


def test_a_single_star_stays_in_its_folder(tree):
    source = tree("a.jpg", "sub/b.jpg")
    assert paths(f"{source}/*.jpg") == ["a.jpg"]


def test_a_source_that_is_not_there_is_said_so(tree):
    source = tree("a.jpg")
    assert code_of(lambda: paths(f"{source}/none")) == "source_missing"
    assert code_of(lambda: paths(f"{source}/*.webp")) == "source_missing"
    assert code_of(lambda: paths(f"{source}/none.parquet")) == "source_missing"
    assert code_of(lambda: paths("memory://cleanplate-nothing/here")) == "source_missing"


def test_a_name_that_is_not_utf_8_does_not_end_the_run(tree, tmp_path):
    source = tree("a.jpg")
    with open(os.fsencode(source) + b"/bad\xff.jpg", "wb") as file:
        file.write(b"x")
    sizes = build(source, str(tmp_path / "dest"))
    assert "a.jpg" in [row["path"] for row in indexed(str(tmp_path / "dest"), sizes)]


def test_an_object_store_is_listed():
    files = fsspec.filesystem("memory")
    for name in ("a.jpg", "sub/b #%20.png", "notes.txt"):
        files.pipe_file(f"/cleanplate-index/pics/{name}", b"xy")
    try:
        found = {item.path: item for item in list_source("memory://cleanplate-index/pics", "memory://other")}
        assert set(found) == {"a.jpg", "sub/b #%20.png"}
        assert found["a.jpg"].size == 2
        assert files.cat_file(found["sub/b #%20.png"].uri) == b"xy"
    finally:
        files.rm("/cleanplate-index", recursive=True)


# --- identity


def test_an_image_id_depends_on_uri_and_etag():
    ids = {Found(uri, "p", 1, etag).image_id for uri in ("s3://b/a", "s3://b/b") for etag in ("1", "2")}
    assert len(ids) == 4
    assert Found("s3://b/a", "other path", 99, "1").image_id in ids
    assert all(len(bytes.fromhex(image_id)) == 16 for image_id in ids)


def test_a_changed_file_is_a_new_image(tree):
    source = tree("a.jpg")
    [before] = list_source(source, "/nowhere")
    os.utime(f"{source}/a.jpg", ns=(1, 1))
    [after] = list_source(source, "/nowhere")
    assert before.image_id != after.image_id


# --- output paths


segments = st.sampled_from(["", ".", "..", "a", "b.jpg", "%empty", "%dot", "%%dotdot", "%%empty", "%", "empty", "a b", "ü"])


@settings(deadline=None, max_examples=50)
@given(st.sets(st.lists(segments, min_size=1, max_size=4).map("/".join), min_size=2, max_size=12))
def test_two_sources_never_share_an_output_path(sources):
    assert len({output_path(path) for path in sources}) == len(sources)


@pytest.mark.parametrize("path", ["a.jpg", "deep/er/a.jpg", "a b#%20?.jpg", "Größe/漢字.png", "...", "a..jpg"])
def test_an_ordinary_path_is_kept(path):
    assert output_path(path) == path


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", ".."])
def test_no_output_path_leaves_its_folder(path, tmp_path):
    result = output_path(path)
    assert os.path.normpath(result) == result
    assert os.path.abspath(tmp_path / result).startswith(f"{tmp_path}/")


def test_uris_of_a_manifest_never_share_an_output_path(tmp_path):
    uris = ["s3://bucket/a.jpg", "gs://bucket/a.jpg", "/bucket/a.jpg", "bucket/a.jpg"]
    pq.write_table(pa.table({"uri": uris}), tmp_path / "list.parquet")
    found = list(list_source(str(tmp_path / "list.parquet"), "/nowhere"))
    assert [item.uri for item in found] == uris
    assert len({output_path(item.path) for item in found}) == len(uris)


# --- the index


def test_the_index_holds_what_the_row_starts_from(tree, tmp_path):
    source, dest = tree(*NAMES), str(tmp_path / "dest")
    sizes = build(source, dest)
    assert sizes == {0: len(NAMES)}
    table = read_shard(dest, 0)
    assert table.schema.names == list(INDEX_COLUMNS)
    assert table.schema.types == [SCHEMA.field(name).type for name in INDEX_COLUMNS]
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


def test_a_changed_image_takes_the_place_of_the_one_it_was(tree, tmp_path):
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.utime(f"{source}/b.jpg", ns=(1, 1))
    sizes = build(source, dest)
    assert sizes == {0: 1, 1: 1}
    assert index.shard_sizes(dest) == sizes
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


def test_a_change_half_recorded_is_recorded_wholly_by_the_next_indexing(tree, tmp_path, monkeypatch):
    """As a driver leaves it that died when the new row was put and the old one not yet taken out."""
    source, dest = tree("a.jpg", "b.jpg"), str(tmp_path / "dest")
    build(source, dest)
    os.utime(f"{source}/b.jpg", ns=(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(index, "forget", lambda *arguments: 2)
        build(source, dest)
    assert index.shard_sizes(dest) == {0: 2, 1: 1}
    assert build(source, dest) == {0: 1, 1: 1}
    assert index.shard_sizes(dest) == {0: 1, 1: 1}


def test_a_limit_takes_the_first_of_the_listing(tree, tmp_path):
    source, dest = tree(*(f"{number}.jpg" for number in range(9))), str(tmp_path / "dest")
    assert build(source, dest, limit=4) == {0: 4}
    assert build(source, dest, limit=4) == {0: 4}
    assert build(source, dest, limit=6) == {0: 4, 1: 2}


def test_nothing_to_index_makes_no_shard(tree, tmp_path):
    assert build(tree("notes.txt"), str(tmp_path / "dest")) == {}


def manifest_of(tmp_path, count, **columns):
    path = str(tmp_path / "list.parquet")
    pq.write_table(pa.table({"uri": [f"s3://bucket/{number}.jpg" for number in range(count)], **columns}), path)
    return path


def test_shards_double_in_size_and_never_exceed_the_largest(tmp_path):
    count = 3 * LARGEST_SHARD_ROWS + 17
    sizes = build(manifest_of(tmp_path, count), str(tmp_path / "dest"))
    assert sum(sizes.values()) == count
    assert sizes[0] == FIRST_SHARD_ROWS
    full = [sizes[shard] for shard in sorted(sizes)][:-1]
    assert full == [min(FIRST_SHARD_ROWS * 2**position, LARGEST_SHARD_ROWS) for position in range(len(full))]
    assert index.shard_sizes(str(tmp_path / "dest")) == sizes


def test_every_image_is_indexed_once_with_its_shard(tmp_path):
    dest = str(tmp_path / "dest")
    sizes = build(manifest_of(tmp_path, 300), dest)
    rows = indexed(dest, sizes)
    assert len({row["image_id"] for row in rows}) == 300
    for shard in sizes:
        assert set(read_shard(dest, shard)["shard"].to_pylist()) == {shard}


# --- manifests


def test_own_columns_of_a_manifest_keep_their_values_and_types(tmp_path):
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


def test_own_times_keep_their_nanoseconds(tmp_path):
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


def test_a_uri_that_comes_twice_counts_once_as_it_came_first(tmp_path):
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
