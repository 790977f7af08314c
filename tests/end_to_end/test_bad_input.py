"""Bad input is data: every file and key gets a ledger row and a code, and the run continues."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from operators.ledger import index, ledger

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.s3 import S3

MAX_PIXELS = 400_000
MAX_BYTES = 1_000_000
DELIVERED = {"skipped", "untouched", "edited", "partly_edited", "rolled_back"}

EXPECTED: dict[str, tuple[str, str | None]] = {
    "zero bytes.png": ("failed", "file_empty"),
    "truncated.jpg": ("failed", "truncated"),
    "truncated.png": ("failed", "truncated"),
    "words.jpg": ("failed", "not_an_image"),
    "header checksum.png": ("failed", "corrupt"),
    "data checksum.png": ("failed", "corrupt"),
    "data.png": ("failed", "corrupt"),
    "text bomb.png": ("failed", "decompression_bomb"),
    "late text bomb.png": ("failed", "decompression_bomb"),
    "profile bomb.png": ("failed", "decompression_bomb"),
    "animated.gif": ("untouched", None),
    "animated.png": ("untouched", None),
    "animated.webp": ("untouched", None),
    "pages.tiff": ("untouched", None),
    "floats.tif": ("skipped", "mode_unsupported"),
    "lossless.jpg": ("skipped", "mode_unsupported"),
    "pair.jpg": ("untouched", None),
    "pixels.png": ("skipped", "pixels_over_limit"),
    "many pixels.png": ("skipped", "pixels_over_limit"),
    "bytes.bmp": ("skipped", "bytes_over_limit"),
    "rgba.png": ("untouched", None),
    "palette.png": ("untouched", None),
    "sixteen bits.png": ("untouched", None),
    "cmyk.jpg": ("untouched", None),
    "palette.gif": ("untouched", None),
    "one pixel.png": ("untouched", None),
    "one line.png": ("untouched", None),
    "tower.png": ("untouched", None),
    "a png.jpg": ("untouched", None),
    "UPPER.JPG": ("untouched", None),
    "with spaces and # hash.png": ("untouched", None),
    "100 % sure.png": ("untouched", None),
    "%41.png": ("untouched", None),
    "what?.png": ("untouched", None),
    "a::b.png": ("untouched", None),
    "[1] *.png": ("untouched", None),
    "été 写真 🎞.png": ("untouched", None),
    "%empty/%dot.png": ("untouched", None),
    "folder # 1/folder % 2/deep.png": ("untouched", None),
}
"""Verdict and failure code of every file in the folder."""


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """Make a PNG chunk with its correct checksum, unless another is given."""
    correct = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", correct if checksum is None else checksum)


def png(
    width: int, height: int, extra: bytes = b"", late: bytes = b"", header_sum: int | None = None, data_sum: int | None = None
) -> bytes:
    """Make a PNG of one grey value, with optional extra chunks (`late` follows the pixels)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\xb4" * width for _ in range(height)))
    chunks = chunk(b"IHDR", header, header_sum) + extra + chunk(b"IDAT", pixels, data_sum) + late
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def fill(folder: Path, pictures: Pictures, encode: Callable[..., bytes]) -> None:
    """Write every file of EXPECTED."""
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    plain, other = pictures.strip(1), pictures.strip(2)
    whole_png = encode(plain, "PNG")
    middle = whole_png.index(b"IDAT") + 200
    frames = {"save_all": True, "append_images": [other]}
    transparent = plain.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(plain.size))
    files = {
        "zero bytes.png": b"",
        "truncated.jpg": encode(pictures.photo(), "JPEG")[:-3000],
        "truncated.png": whole_png[: len(whole_png) // 2],
        "words.jpg": b"This is a shopping list, not a picture.\n" * 20,
        "header checksum.png": png(320, 240, header_sum=7),
        "data checksum.png": png(320, 240, data_sum=7),
        "data.png": whole_png[:middle] + bytes([whole_png[middle] ^ 0xFF]) + whole_png[middle + 1 :],
        "text bomb.png": png(320, 240, chunk(b"zTXt", b"Comment\0\0" + bomb)),
        "late text bomb.png": png(320, 240, late=chunk(b"zTXt", b"Comment\0\0" + bomb)),
        "profile bomb.png": png(320, 240, chunk(b"iCCP", b"Profile\0\0" + bomb)),
        "animated.gif": encode(plain, "GIF", **frames),
        "animated.png": encode(plain, "PNG", **frames),
        "animated.webp": encode(plain, "WEBP", **frames),
        "pages.tiff": encode(plain, "TIFF", **frames),
        "sixteen bits.png": encode(Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257), "PNG"),
        "cmyk.jpg": encode(plain.convert("CMYK"), "JPEG"),
        "floats.tif": encode(plain.convert("F"), "TIFF"),
        "lossless.jpg": encode(plain, "JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
        "pair.jpg": encode(plain, "MPO", **frames),
        "pixels.png": encode(pictures.plain(3, (800, 501)), "PNG"),
        "many pixels.png": png(40_000, 40_000 // 80, b"").replace(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 500, 8, 0, 0, 0, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)),
        ),
        "bytes.bmp": encode(pictures.plain(3, (640, 600)), "BMP"),
        "rgba.png": encode(transparent, "PNG"),
        "palette.png": encode(plain.quantize(16), "PNG", transparency=3),
        "palette.gif": encode(plain.quantize(16), "GIF", transparency=3),
        "one pixel.png": encode(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"),
        "one line.png": encode(pictures.plain(1, (20_000, 10)), "PNG"),
        "tower.png": encode(pictures.plain(1, (10, 20_000)), "PNG"),
        "a png.jpg": whole_png,
    }
    for name in EXPECTED:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.rglob("*")))
        format = "JPEG" if name.lower().endswith(".jpg") else "PNG"
        file.write_bytes(files[name] if name in files else encode(pictures.strip(number), format))


@dataclass(frozen=True)
class Run:
    """A finished run over the whole folder."""

    source: Path
    dest: Path
    ended: CommandResult
    rows: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def ran(cleanplate: Command, pictures: Pictures, encode: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("bad # 100 % é")
    fill(root / "in", pictures, encode)
    limits = ("--max-pixels", MAX_PIXELS, "--max-bytes", MAX_BYTES)
    ended = cleanplate("erase", root / "in", root / "out", "--preset", "fast", "--accept", "best", *limits)
    rows = {str(Path(row["uri"]).relative_to(root / "in")): row for row in ledger.read(str(root / "out")).to_pylist()}
    return Run(root / "in", root / "out", ended, rows)


def output(ran: Run, name: str) -> Path:
    return Path(str(ran.rows[name]["output_uri"]))


def test_bad_images_do_not_fail_the_run(ran: Run) -> None:
    assert ran.ended.code == 0 and "error" not in ran.ended.err
    assert ran.ended.out.startswith(f"{len(EXPECTED)} images, ")


def test_every_file_has_its_row_and_no_other(ran: Run) -> None:
    assert set(ran.rows) == set(EXPECTED)


@pytest.mark.parametrize(("name", "verdict", "code"), [(name, *expected) for name, expected in EXPECTED.items()], ids=EXPECTED)
def test_a_file_gets_its_verdict_and_its_code(ran: Run, name: str, verdict: str, code: str | None) -> None:
    row = ran.rows[name]
    failure = row["failure"]
    assert (row["verdict"], failure and failure["code"]) == (verdict, code), failure
    assert row["reasons"] == ([code] if code else [])


def test_images_that_are_not_edited_are_delivered_byte_for_byte(ran: Run) -> None:
    for name, (verdict, _) in EXPECTED.items():
        if verdict in {"skipped", "untouched"}:
            assert output(ran, name).read_bytes() == (ran.source / name).read_bytes(), name


def test_failed_images_are_not_delivered(ran: Run) -> None:
    failed = [name for name, (verdict, _) in EXPECTED.items() if verdict == "failed"]
    assert [ran.rows[name]["output_uri"] for name in failed] == [None] * len(failed)
    assert [ran.rows[name]["output_sha256"] for name in failed] == [None] * len(failed)


def test_every_output_has_its_own_row(ran: Run) -> None:
    outputs = [file for file in (ran.dest / "images").rglob("*") if file.is_file()]
    named = [Path(str(row["output_uri"])) for row in ran.rows.values() if row["output_uri"]]
    assert sorted(outputs) == sorted(named)
    assert len(set(named)) == len(named)


def test_the_report_counts_every_code(ran: Run) -> None:
    page = (ran.dest / "report.html").read_text()
    for code in {code for _, code in EXPECTED.values() if code}:
        count = sum(code == other for _, other in EXPECTED.values())
        assert f'<td>{code}</td><td class="number">{count}</td>' in page


def test_a_second_run_finds_every_image_done(ran: Run, cleanplate: Command, tmp_path: Path) -> None:
    dest = shutil.copytree(ran.dest, tmp_path / "out")
    limits = ("--max-pixels", MAX_PIXELS, "--max-bytes", MAX_BYTES)
    ended = cleanplate("erase", ran.source, dest, "--preset", "fast", "--accept", "best", *limits)
    assert ended.code == 0
    assert ended.out.startswith(f"{len(EXPECTED)} images, {len(EXPECTED)} done before, ")
    assert ended.out.endswith(f" | {dest / 'report.html'}\n")
    assert not ended.used_ray


@dataclass(frozen=True)
class Guest:
    """A run with a guest's keys over a manifest of valid, missing and forbidden objects."""

    ended: CommandResult
    rows: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def guest(
    s3: S3,
    cleanplate: Command,
    pictures: Pictures,
    encode: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Guest:
    root = tmp_path_factory.mktemp("keys")
    files = s3.files()
    for bucket, name in (("open", "a.png"), ("closed", "b.png")):
        files.mkdir(bucket)
        files.pipe_file(f"{bucket}/{name}", encode(pictures.strip(1), "PNG"))
    uris = ["s3://open/a.png", "s3://open/none.png", "s3://closed/b.png", "/no/such/file.png"]
    pq.write_table(pa.table({"uri": uris}), root / "list.parquet")
    command = (
        "erase",
        root / "list.parquet",
        root / "out",
        "--preset",
        "fast",
        "--accept",
        "best",
        "--workers",
        1,
        "--allow",
        "s3://",
        "--allow",
        "/no/such",
    )
    ended = cleanplate(*command, environment=s3.guest)
    return Guest(ended, {str(row["uri"]): row for row in ledger.read(str(root / "out")).to_pylist()})


def test_missing_and_denied_keys_are_rows_with_their_codes(guest: Guest) -> None:
    outcomes = {uri: (row["verdict"], row["failure"] and row["failure"]["code"]) for uri, row in guest.rows.items()}
    assert outcomes == {
        "s3://open/a.png": ("untouched", None),
        "s3://open/none.png": ("failed", "key_missing"),
        "s3://closed/b.png": ("failed", "access_denied"),
        "/no/such/file.png": ("failed", "key_missing"),
    }


def test_a_denied_key_ends_the_run_with_3_and_one_line(guest: Guest) -> None:
    assert (guest.ended.code, guest.ended.out) == (3, "")
    (line,) = guest.ended.err.splitlines()
    assert line.startswith("error: incomplete: 4 images, 1 untouched, 3 failed | access_denied 1, key_missing 2 | ")
    assert line.endswith("run again to retry: access_denied")


COLLIDING = (
    ("/data/a.png", "data/a.png"),
    ("/data/%empty/a.png", "/data/%%empty/a.png"),
    ("/data/a.png", "/data/%dot/a.png"),
    ("/data/a.png", "/local/data/a.png"),
    ("/data/a.png", "s3://local/data/a.png"),
    ("/data/a.png", "s3://data/a.png"),
    ("s3://bucket/a.png", "gs://bucket/a.png"),
    ("s3://bucket/a.png", "/bucket/a.png"),
    ("s3://bucket/a.png", "/s3/bucket/a.png"),
    ("s3://bucket/a.png", "bucket/a.png"),
    ("s3://bucket/a.png", "s3://bucket//a.png"),
    ("s3://bucket//a.png", "s3://bucket/%empty/a.png"),
    ("s3://bucket/../a.png", "s3://a.png"),
)
"""Pairs of sources that could collide when they are turned into output paths."""


@pytest.mark.parametrize("pair", COLLIDING, ids=" and ".join)
def test_two_sources_never_share_an_output(pair: tuple[str, str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": pair}), tmp_path / "list.parquet")
    assert index.build(str(tmp_path / "list.parquet"), str(tmp_path / "out")) == {0: 2}
    shard = index.read_shard(str(tmp_path / "out"), 0)
    assert shard["uri"].to_pylist() == [uri if uri.startswith(("/", "s3:", "gs:")) else str(tmp_path / uri) for uri in pair]
    outputs = [(tmp_path / "images" / path).resolve() for path in shard["path"].to_pylist()]
    assert len(set(outputs)) == 2
    assert all(output.is_relative_to(tmp_path / "images") for output in outputs)
