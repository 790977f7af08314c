"""Listing folders, globs and object stores, and the output paths of what they list."""

import os

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.rows.failure import RunError
from operators.storage.listing import list_source, output_path

NAMES = ["plain.jpg", "two words.png", "a#b.webp", "50%25.tif", "Größe 漢字.bmp", "[1].gif", "UPPER.JPEG"]


def paths(source, excluded="/nowhere"):
    return sorted(found.path for found in list_source(source, excluded))


def code_of(call):
    with pytest.raises(RunError) as caught:
        call()
    return caught.value.code


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


def test_a_missing_source_is_reported(tree):
    source = tree("a.jpg")
    assert code_of(lambda: paths(f"{source}/none")) == "source_missing"
    assert code_of(lambda: paths(f"{source}/*.webp")) == "source_missing"
    assert code_of(lambda: paths(f"{source}/none.parquet")) == "source_missing"
    assert code_of(lambda: paths("memory://cleanplate-nothing/here")) == "source_missing"


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
