"""Archives are listed and read in place; what is wrong with one is counted, and the run goes on."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from operators.rows.failure import Failure, RunError
from operators.storage import archive_members, archives, source_image
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, own_columns
from operators.storage.source_image import SourceImage

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(200))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(300)
FILES = {
    "0.jpg": PICTURE + b"0",
    "0.json": b'{"caption": "null"}',
    "0.cls": b"7",
    "1.png": PNG,
    "1.json": b'{"caption": "one"}',
    "sub/2.jpg": PICTURE + b"2",
    "unnamed": PNG + b"3",
    "notes.txt": b"no picture",
    "__MACOSX/0.jpg": b"x",
}
LONG = "folder/" * 30 + "long.jpg"


def write_tar(path: Path, files: Mapping[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


WRITERS: dict[str, Callable[[Path, Mapping[str, bytes]], Path]] = {
    "pax.tar": write_tar,
    "gnu.tar": lambda path, files: write_tar(path, files, tarfile.GNU_FORMAT),
    "deflated.zip": write_zip,
    "stored.zip": lambda path, files: write_zip(path, files, zipfile.ZIP_STORED),
}


def listed(source: Path | str) -> tuple[list[SourceImage], LeftOut]:
    left_out = LeftOut()
    return list(list_source(str(source), "", left_out)), left_out


@pytest.mark.parametrize("name", WRITERS)
def test_images_are_known_by_name_or_content_and_read_in_place(tmp_path: Path, name: str) -> None:
    archive = WRITERS[name](tmp_path / name, FILES | {LONG: PICTURE})
    images, left_out = listed(archive)
    found = {image.path: source_image.read(image.uri, image.etag) for image in images}
    expected = {path: FILES[path] for path in ("0.jpg", "1.png", "sub/2.jpg", "unnamed")} | {LONG: PICTURE}
    assert found == {f"{name}/{path}": data for path, data in expected.items()}
    assert all(image.size == len(found[image.path]) == source_image.size(image.uri) for image in images)
    assert {reason: sum(counts.values()) for reason, counts in left_out.counts.items()} == {"not_pictures": 4, "hidden": 1}


@pytest.mark.parametrize("name", WRITERS)
def test_an_image_brings_its_sample_and_the_json_of_it(tmp_path: Path, name: str) -> None:
    archive = WRITERS[name](tmp_path / name, FILES)
    own = {image.path.partition("/")[2]: dict(image.own) for image in listed(archive)[0]}
    assert own["0.jpg"] == {"sample": "0", "json": '{"caption": "null"}'}
    assert own["1.png"] == {"sample": "1", "json": '{"caption": "one"}'}
    assert own["sub/2.jpg"] == {"sample": "sub/2", "json": None}
    assert own_columns(str(archive)).names == ["sample", "json"]


def test_a_pattern_names_many_archives(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"train-{number:06d}.tar", {"a.jpg": PICTURE + bytes([number])})
    images, _ = listed(tmp_path / "train-*.tar")
    assert [image.path for image in images] == [f"train-{number:06d}.tar/a.jpg" for number in range(3)]
    assert len({image.image_id for image in images}) == 3
    assert [source_image.file_of(image.uri) for image in images] == [str(tmp_path / f"train-{n:06d}.tar") for n in range(3)]


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
@pytest.mark.parametrize("unsafe", ["../../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"])
def test_members_that_leave_the_folder_are_counted(tmp_path: Path, name: str, unsafe: str) -> None:
    write = write_tar if name.endswith(".tar") else write_zip
    images, left_out = listed(write(tmp_path / name, {unsafe: PICTURE, "good.jpg": PICTURE}))
    assert [image.path for image in images] == [f"{name}/good.jpg"]
    assert left_out.record()["unsafe_members"]["by"] == {"leaves its folder": 1}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_of_members_of_one_name_the_first_is_taken(tmp_path: Path, name: str) -> None:
    if name.endswith(".tar"):
        write_tar(tmp_path / name, {"a.jpg": PICTURE, "./a.jpg": PNG})
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.jpg", PICTURE)
            archive.writestr("a.jpg", PNG)
    images, left_out = listed(tmp_path / name)
    assert [source_image.read(image.uri) for image in images] == [PICTURE]
    assert left_out.record()["unsafe_members"]["by"] == {"occurs twice": 1}


def test_links_and_devices_in_a_tar_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("link.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("pipe.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    images, left_out = listed(tmp_path / "a.tar")
    assert images == []
    assert left_out.record()["special_files"]["count"] == 3


@pytest.mark.parametrize("cut", [1, 600, 1100])
def test_a_tar_that_ends_early_gives_what_it_has(tmp_path: Path, cut: int) -> None:
    whole = write_tar(tmp_path / "whole.tar", {"a.jpg": PICTURE, "b.jpg": PICTURE * 20})
    end = next(image for image in listed(whole)[0] if image.path.endswith("b.jpg"))
    offset = int(archive_members.ADDRESS.fullmatch(end.uri)["offset"])  # type: ignore[index]
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[: offset + end.size - cut])
    images, left_out = listed(tmp_path / "cut.tar")
    assert [image.path for image in images] == ["cut.tar/a.jpg", "cut.tar/b.jpg"]
    assert source_image.read(images[0].uri) == PICTURE
    with pytest.raises(Failure) as failed:
        source_image.read(images[1].uri)
    assert failed.value.code == "truncated"
    assert left_out.record()["damaged_archives"]["examples"] == ["cut.tar"]


def test_garbage_between_members_is_no_silent_end(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", {"a.jpg": PICTURE, "b.jpg": PICTURE}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1024] + b"garbage!" * 64 + whole[1536:])
    images, left_out = listed(tmp_path / "a.tar")
    assert [image.path for image in images] == ["a.tar/a.jpg"]
    assert left_out.record()["damaged_archives"]["count"] == 1


@pytest.mark.parametrize("name", ["empty.tar", "text.tar", "empty.zip", "text.zip"])
def test_an_archive_that_is_none_does_not_end_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"not an archive " * 100)
    ending = name.rpartition(".")[2]
    (write_tar if ending == "tar" else write_zip)(tmp_path / f"z.{ending}", {"a.jpg": PICTURE})
    images, left_out = listed(tmp_path / f"*.{ending}")
    assert [image.path for image in images] == [f"z.{ending}/a.jpg"]
    assert left_out.record()["damaged_archives"]["examples"] == [name]


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_of_too_many_members_the_first_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    write = write_tar if name.endswith(".tar") else write_zip
    images, left_out = listed(write(tmp_path / name, {f"{number}.jpg": PICTURE for number in range(5)}))
    assert len(images) == 3
    assert left_out.record()["too_many_members"]["examples"] == [name]


def test_a_zip_whose_directory_would_fill_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 100)
    images, left_out = listed(write_zip(tmp_path / "a.zip", {f"{number}.jpg": PICTURE for number in range(5)}))
    assert images == []
    assert left_out.record()["too_many_members"]["count"] == 1


def test_a_header_of_any_length_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_HEADER", 1000)
    images, left_out = listed(write_tar(tmp_path / "a.tar", {"a.jpg": PICTURE, "x" * 5000: PICTURE}))
    assert [image.path for image in images] == ["a.tar/a.jpg"]
    assert left_out.record()["damaged_archives"]["count"] == 1


def test_a_member_that_unpacks_to_more_than_it_says_is_a_bomb(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bomb.zip", {"a.jpg": PICTURE + bytes(10_000_000)})
    uri = listed(archive)[0][0].uri
    with pytest.raises(Failure) as failed:
        source_image.read(uri.replace(f"&size={len(PICTURE) + 10_000_000}", "&size=1000"))
    assert failed.value.code == "decompression_bomb"


@pytest.mark.parametrize(
    ("method", "flags", "said"), [(zipfile.ZIP_LZMA, 0, "packed by method 14"), (zipfile.ZIP_STORED, 1, "encrypted")]
)
def test_a_member_that_cannot_be_unpacked_says_why(tmp_path: Path, method: int, flags: int, said: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.jpg": PICTURE}, method)
    data = bytearray(archive.read_bytes())
    data[6] |= flags
    archive.write_bytes(data)
    with pytest.raises(Failure, match=said) as failed:
        source_image.read(listed(archive)[0][0].uri)
    assert failed.value.code == "corrupt"


def test_a_member_with_another_checksum_is_corrupt(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.jpg": PICTURE}, zipfile.ZIP_STORED)
    data = archive.read_bytes()
    archive.write_bytes(data.replace(PICTURE, PICTURE[:-1] + b"!"))
    with pytest.raises(Failure) as failed:
        source_image.read(listed(archive)[0][0].uri)
    assert failed.value.code == "corrupt"


def test_no_archive_at_a_place_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="source_missing"):
        listed(tmp_path / "*.tar")
