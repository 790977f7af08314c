"""Listing folders of this machine: strange names, links, hidden folders, what cannot be read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from operators.rows.failure import RunError
from operators.storage import files as storage
from operators.storage.left_out import MOST_DETAILS, LeftOut
from operators.storage.listing import list_source, require_images
from operators.storage.names import to_path

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
STRANGE = [
    "at 9.41.05\u202fAM.png",
    "nb\u00a0sp.png",
    "wide\u3000space.png",
    "mark\u200e.png",
    "line\nbreak.png",
    "private\U0010ffe9.png",
    os.fsdecode(b"r\xe9sum.png"),
    os.fsdecode(b"dir\xff/\xfe.png"),
]


def listed(source: object) -> tuple[list[str], dict[str, int]]:
    """The paths of the images of a folder, and the counts of what was left out, by reason."""
    left_out = LeftOut()
    paths = [image.path for image in list_source(str(source), left_out=left_out)]
    return sorted(paths), {reason: entry["count"] for reason, entry in left_out.record().items()}


def put(folder: Path, *names: str, content: bytes = PNG) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_a_file_of_any_name_is_listed_read_and_delivered_under_the_same_bytes(tmp_path: Path) -> None:
    put(tmp_path / "in", *STRANGE)
    images = list(list_source(str(tmp_path / "in")))
    for image in images:
        image.path.encode()
        assert storage.read(image.uri) == PNG
        storage.write(storage.join(str(tmp_path), "out", image.path), b"edited")
    delivered = {os.fsencode(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert delivered == {os.fsencode(name) for name in STRANGE}
    assert {to_path(image.path) for image in images} == set(STRANGE)


def test_a_source_whose_own_name_is_no_utf_8_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    put(folder, "a.png")
    assert listed(folder) == (["a.png"], {})


def test_a_picture_of_any_ending_is_taken_and_everything_else_is_counted_by_ending(tmp_path: Path) -> None:
    put(tmp_path, "a.dat", "noending", "photo.HEIC", "b.heic.bak", "c.jpg")
    put(tmp_path, "notes.txt", "more.TXT", "README", "empty.bin", content=b"words")
    put(tmp_path, "empty.raw", content=b"")
    left_out = LeftOut()
    paths = sorted(image.path for image in list_source(str(tmp_path), left_out=left_out))
    assert paths == ["a.dat", "b.heic.bak", "c.jpg", "noending", "photo.HEIC"]
    assert left_out.lines() == ["not pictures 5 (.txt 2, .bin 1, .raw 1, without an ending 1)"]


def test_hidden_and_system_folders_are_counted_file_by_file(tmp_path: Path) -> None:
    put(
        tmp_path, "a.png", ".git/b.png", ".git/deep/c.png", "@eaDir/a.png/thumb.jpg", "x/__MACOSX/d.png", "._a.png", ".DS_Store"
    )
    left_out = LeftOut()
    assert [image.path for image in list_source(str(tmp_path), left_out=left_out)] == ["a.png"]
    assert left_out.record()["hidden"]["by"] == {".git": 2, "._*": 1, ".DS_Store": 1, "@eaDir": 1, "__MACOSX": 1}


def test_a_link_to_a_folder_inside_is_followed_once_and_loops_are_found(tmp_path: Path) -> None:
    put(tmp_path, "real/a.png", "real/deep/b.png")
    (tmp_path / "album").symlink_to("real")
    (tmp_path / "again").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to("..")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "real" / "deep" / "here").symlink_to(".")
    (tmp_path / "picture.png").symlink_to("real/a.png")
    paths, counts = listed(tmp_path)
    assert paths == ["again/a.png", "again/deep/b.png", "picture.png", "real/a.png", "real/deep/b.png"]
    assert counts == {"link_loops": 5, "linked_again": 1}


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "b").symlink_to("../b")
    (tmp_path / "b" / "a").symlink_to("../a")
    paths, counts = listed(tmp_path)
    assert {"a/1.png", "b/2.png", "a/b/2.png", "b/a/1.png"} == set(paths)
    assert set(counts) <= {"link_loops", "linked_again"}


def test_links_that_lead_outside_or_nowhere_are_counted_and_not_read(tmp_path: Path) -> None:
    put(tmp_path, "secret/a.png", "secret.png", "in/b.png", "in2/c.png")
    for name, target in {"out": "../secret", "out.png": "../secret.png", "dead.png": "gone", "neighbour": "../in2"}.items():
        (tmp_path / "in" / name).symlink_to(target)
    assert listed(tmp_path / "in") == (["b.png"], {"outside_links": 3, "broken_links": 1})


def test_a_source_that_is_a_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "real/a.png")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "b.png").symlink_to("a.png")
    assert listed(tmp_path / "link") == (["a.png", "b.png"], {})


def test_pipes_and_sockets_are_counted_and_not_opened(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.png")[-100:] if len(str(tmp_path)) < 80 else os.path.relpath(tmp_path / "s.png"))
        assert listed(tmp_path) == (["a.png"], {"special_files": 2})


LIST_AS_NOBODY = """
import os, sys
from operators.rows.failure import RunError
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source
os.setgroups([]); os.setgid(65534); os.setuid(65534)
left_out = LeftOut()
try:
    print([image.path for image in list_source(sys.argv[1], left_out=left_out)], left_out.lines())
except RunError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without rights")
def test_what_cannot_be_entered_is_counted_and_a_source_that_cannot_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(source, "a.png", "locked/b.png", "unknown")
    put(tmp_path, "elsewhere/c.png")
    (source / "link.png").symlink_to("locked/b.png")
    (source / "outside.png").symlink_to("../elsewhere/c.png")
    (source / "nowhere.png").symlink_to("unknown/nothing.png")
    for folder in (source, tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    for locked in (source / "locked", source / "unknown", tmp_path / "elsewhere"):
        locked.chmod(0)

    def run(folder: Path) -> str:
        command = [sys.executable, "-c", LIST_AS_NOBODY, str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    counts = ["links that lead outside SOURCE 1", "links that lead nowhere 1", "unreadable files or folders 3"]
    assert run(source) == f"['a.png'] {counts}"
    assert run(source / "locked") == f"access_denied: {source}/locked cannot be read"


def test_a_source_that_links_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RunError, match=r"^source_missing: .* is a link to itself$"):
        list(list_source(str(tmp_path / "loop")))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: None, "it is empty"),
        (lambda folder: put(folder, "a.txt", content=b"words"), r"not pictures 1 \(.txt 1\)"),
        (lambda folder: put(folder, ".git/a.png"), r"in hidden or system folders 1 \(.git 1\)"),
        (lambda folder: (folder / "a").symlink_to("/etc"), "links that lead outside SOURCE 1"),
    ],
    ids=["empty", "text", "hidden", "link"],
)
def test_a_source_without_images_says_what_is_there_instead(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path)
    with pytest.raises(RunError, match=f"^no_images: 0 images in .*: {reason}$") as caught:
        require_images(str(tmp_path))
    assert caught.value.exit_code == 2


def test_a_text_file_as_source_has_no_images(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", content=b"words")
    with pytest.raises(RunError, match=r"^no_images: 0 images in .*a.txt: not pictures 1 \(.txt 1\)$"):
        require_images(str(tmp_path / "a.txt"))


def test_a_name_with_a_star_that_exists_is_no_pattern(tmp_path: Path) -> None:
    put(tmp_path, "what?/a*.png", "which/b.png")
    assert listed(tmp_path / "what?")[0] == ["a*.png"]


def test_the_details_of_a_count_are_bounded() -> None:
    left_out = LeftOut()
    for number in range(3 * MOST_DETAILS):
        left_out.add("not_pictures", f"a.{number}", f".{number}")
    record = left_out.record()["not_pictures"]
    assert record["count"] == 3 * MOST_DETAILS
    assert len(record["by"]) == MOST_DETAILS + 1
    assert len(record["examples"]) == 5


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("data-00000-of-00001.arrow", "*.arrow"), ("train/data-00000-of-00001.arrow", "*/*.arrow"), ("shard-1.tar", "*.tar")],
)
def test_a_folder_of_collections_says_how_to_name_them(tmp_path: Path, file: str, pattern: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"\xff\xff\xff\xff")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(RunError) as caught:
        require_images(str(tmp_path))
    ending = Path(file).suffix
    assert f"to read the images inside {ending} files, name them: '{tmp_path}/{pattern}'" in str(caught.value)
