"""Reading and writing objects on a disk and in an object store."""

import os

import fsspec
import pytest

from operators.rows.failure import Failure
from operators.storage import files as storage

NAMES = ["plain.png", "two words.png", "a#b.png", "50%25.png", "what?.png", "star*.png", "[1].png", "Größe 漢字.png", "::.png"]

PUTS = [lambda uri: storage.write(uri, b"x"), lambda uri: storage.copy(__file__, uri)]


def code_of(call):
    with pytest.raises(Failure) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_literally(tmp_path, name):
    uri = storage.join(str(tmp_path), "sub", name)
    storage.write(uri, b"data")
    assert os.listdir(tmp_path / "sub") == [name]
    assert storage.read(uri) == b"data"
    assert storage.exists(uri)
    assert storage.list_paths(str(tmp_path)) == [uri]
    storage.copy(uri, uri + ".copy")
    assert storage.read(uri + ".copy") == b"data"
    storage.remove(uri)
    assert not storage.exists(uri)
    assert storage.exists(uri + ".copy")


def test_a_file_url_is_the_path_behind_it(tmp_path):
    storage.write(f"file://{tmp_path}/a b.png", b"data")
    assert (tmp_path / "a b.png").read_bytes() == b"data"
    assert storage.is_local(f"file://{tmp_path}")
    assert not storage.is_local("s3://bucket/key")


def test_joined_appends_segments():
    assert storage.join("s3://bucket/dest/", "images", "a.png") == "s3://bucket/dest/images/a.png"


def test_writing_again_replaces_the_whole_object(tmp_path):
    uri = str(tmp_path / "a")
    storage.write(uri, b"a long first version")
    storage.write(uri, memoryview(b"short"))
    assert storage.read(uri) == b"short"
    assert os.listdir(tmp_path) == ["a"]


def test_empty_objects_are_kept(tmp_path):
    storage.write(str(tmp_path / "empty"), b"")
    assert storage.read(str(tmp_path / "empty")) == b""


def test_an_absent_object_is_missing_and_an_absent_folder_is_empty(tmp_path):
    assert code_of(lambda: storage.read(str(tmp_path / "none"))) == "key_missing"
    assert code_of(lambda: storage.copy(str(tmp_path / "none"), str(tmp_path / "copy"))) == "key_missing"
    assert storage.list_paths(str(tmp_path / "none")) == []
    assert not storage.exists(str(tmp_path / "none"))
    storage.remove(str(tmp_path / "none"))
    assert os.listdir(tmp_path) == []


def test_only_the_first_creates(tmp_path):
    uri = str(tmp_path / "sub" / "lease")
    assert storage.create(uri, b"first")
    assert not storage.create(uri, b"second")
    assert storage.read(uri) == b"first"


@pytest.mark.parametrize("put", PUTS, ids=["write", "copy"])
@pytest.mark.parametrize("below", ["file/name.png", "file/sub/name.png"])
def test_a_file_where_a_folder_is_needed_is_a_conflict(tmp_path, put, below):
    (tmp_path / "file").write_bytes(b"x")
    assert code_of(lambda: put(str(tmp_path / below))) == "output_path_conflict"


def test_reading_a_folder_says_that_it_is_one(tmp_path):
    for read in (storage.read, lambda uri: storage.read_head(uri, 8)):
        with pytest.raises(Failure, match=f"not_an_image: {tmp_path} is a folder"):
            read(str(tmp_path))


@pytest.mark.parametrize("put", PUTS, ids=["write", "copy"])
def test_a_folder_where_a_file_should_go_is_a_conflict_that_leaves_nothing_behind(tmp_path, put):
    (tmp_path / "folder").mkdir()
    assert code_of(lambda: put(str(tmp_path / "folder"))) == "output_path_conflict"
    assert os.listdir(tmp_path) == ["folder"]


def test_removing_a_folder_removes_everything_under_it(tmp_path):
    for name in ("a/b", "a/c/d", "e"):
        storage.write(str(tmp_path / name), b"x")
    storage.remove(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == ["e"]


def test_a_large_object_is_copied_whole(tmp_path):
    data = os.urandom(9 * 1024 * 1024)
    (tmp_path / "a").write_bytes(data)
    storage.copy(str(tmp_path / "a"), str(tmp_path / "sub" / "b"))
    assert (tmp_path / "sub" / "b").read_bytes() == data
    assert os.listdir(tmp_path / "sub") == ["b"]


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield "memory://cleanplate-test"
    if files.exists("/cleanplate-test"):
        files.rm("/cleanplate-test", recursive=True)


def test_an_object_store_behaves_like_a_disk(memory, tmp_path):
    uri = storage.join(memory, "sub", "a #%20b.png")
    storage.write(uri, memoryview(b"data"))
    assert storage.read(uri) == b"data"
    assert storage.list_paths(memory) == ["/cleanplate-test/sub/a #%20b.png"]
    assert not storage.create(uri, b"other")
    storage.copy(uri, str(tmp_path / "down"))
    storage.copy(str(tmp_path / "down"), storage.join(memory, "up"))
    storage.copy(storage.join(memory, "up"), storage.join(memory, "across"))
    assert storage.read(storage.join(memory, "across")) == b"data"
    storage.remove(memory)
    assert storage.list_paths(memory) == []
