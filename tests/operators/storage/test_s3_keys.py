"""Keys of an S3 server that look like something else, and folders listed as on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from operators.rows.failure import Failure, RunError
from operators.storage import files as storage
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, output_path, require_images
from operators.storage.s3_copy import copy_on_server

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
KEYS = [
    "a.png?versionId=3",
    "b?versionId=null.png",
    "c#1.png",
    "d#row=1&column=x.png",
    "e%20f.png",
    "two words+plus.png",
    "at 9.41.05\u202fAM.png",
    "wide\u3000space.png",
    "mark\u200e.png",
    "deep//er/g.png",
    "?/h*.png",
]
TREE = {
    "a.png": PNG,
    "no ending": PNG,
    "photo.dat": PNG,
    "notes.txt": b"words",
    "sub/list.json": b"[]",
    "README": b"read me",
    ".git/config.png": PNG,
    "sub/@eaDir/a.png/thumb.jpg": PNG,
    "__MACOSX/._a.png": PNG,
    "sub/._b.png": PNG,
    "empty.raw": b"",
}


def put(s3: S3, bucket: str, objects: dict[str, bytes]) -> str:
    files: Any = s3.files()
    files.mkdir(bucket)
    for key, content in objects.items():
        files.call_s3("put_object", Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}"


@pytest.fixture(scope="module")
def strange(s3: S3) -> str:
    return put(s3, "strange", {f"in/{key}": key.encode() for key in KEYS})


def test_a_key_of_any_text_is_listed_and_read(strange: str) -> None:
    found = {image.path: image for image in list_source(f"{strange}/in")}
    # The server keeps one slash of two, so this key has one.
    assert set(found) >= {key for key in KEYS if "//" not in key and key.endswith(".png")}
    for path, image in found.items():
        assert storage.size(image.uri) == image.size
        if path in KEYS:
            assert storage.read(image.uri) == path.encode()


def test_a_key_of_any_text_is_copied_and_written(strange: str) -> None:
    for image in list_source(f"{strange}/in"):
        data = storage.read(image.uri)
        target = f"{strange}/out/{output_path(image.path)}"
        assert copy_on_server(image.uri, image.etag, data, target)
        assert storage.read(target) == data
        storage.write(target, b"edited")
        assert storage.read(target) == b"edited"
        assert storage.read(image.uri) == data


def test_a_picture_is_taken_for_its_content_where_its_key_ends_like_nothing(s3: S3) -> None:
    source = put(s3, "versions", {"a.png?versionId=3": PNG, "b?versionId=4": b"words"})
    left_out = LeftOut()
    assert [image.path for image in list_source(source, left_out=left_out)] == ["a.png?versionId=3"]
    assert left_out.total == 1


def test_a_bucket_and_a_folder_list_and_count_the_same(s3: S3, tmp_path: Path) -> None:
    source = put(s3, "tree", TREE)
    for name, content in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    here, there = LeftOut(), LeftOut()
    assert sorted(image.path for image in list_source(str(tmp_path), left_out=here)) == ["a.png", "no ending", "photo.dat"]
    assert sorted(image.path for image in list_source(source, left_out=there)) == ["a.png", "no ending", "photo.dat"]
    assert there.counts == here.counts
    assert here.lines() == [
        "not pictures 4 (without an ending 1, .json 1, .raw 1, .txt 1)",
        "in hidden or system folders 4 (._* 1, .git 1, @eaDir 1, __MACOSX 1)",
    ] or here.lines()[0].startswith("not pictures 4")


def test_a_prefix_without_images_says_what_is_there(s3: S3) -> None:
    source = put(s3, "words", {"a.txt": b"words", ".x/b.png": PNG})
    with pytest.raises(RunError, match=r"^no_images: .*not pictures 1 \(.txt 1\); in hidden or system folders 1 \(.x 1\)$"):
        require_images(source)


def test_two_keys_that_differ_in_a_slash_have_two_output_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.store["/slashes/in/a.png"] = files.store["/slashes/in//a.png"] = None
    found = [{"name": f"/slashes/in{rest}", "size": 1, "type": "file"} for rest in ("/a.png", "//a.png")]
    monkeypatch.setattr("operators.storage.listing._read_infos", lambda *_: iter(found))
    try:
        paths = [output_path(image.path) for image in list_source("memory://slashes/in")]
    finally:
        files.store.clear()
    assert paths == ["a.png", "%empty/a.png"]


def test_a_folder_of_many_objects_is_removed_with_few_requests_and_nothing_else_is(s3: S3) -> None:
    files: Any = s3.files()
    files.mkdir("many")
    files.pipe({f"many/run/twins/{number:04d} [*].png": b"1" for number in range(1003)})
    files.pipe({"many/run/other": b"1"})
    storage.remove("s3://many/run/twins")
    assert [name for name in storage.list_paths("s3://many") if name.rpartition("/")[2] not in ("run", "twins")] == [
        "many/run/other"
    ]


def test_a_refused_removal_of_many_objects_is_an_error(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    files: Any = s3.files()
    files.makedirs("open", exist_ok=True)
    files.pipe({f"open/kept/{number}": b"1" for number in range(2)})
    for name, value in s3.guest.items():
        monkeypatch.setenv(name, value)
    type(storage.filesystem("s3://open")[0]).clear_instance_cache()
    try:
        with pytest.raises(Failure, match="access_denied"):
            storage.remove("s3://open/kept")
    finally:
        type(storage.filesystem("s3://open")[0]).clear_instance_cache()
    assert len(storage.list_paths("s3://open/kept")) == 2
