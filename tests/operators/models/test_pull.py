"""A model appears on a machine complete and checked, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from operators.models.card import ModelCard
from operators.models.pull import bytes_here, checksums, fetch_weights, known_checksums, place
from operators.models.registry import pin_checksums, resolve
from operators.rows.failure import RunError

Folder = Callable[..., Path]
Sums = Callable[[Path], dict[str, str]]
UNET = "unet/diffusion_pytorch_model.safetensors"
BUCKET = "models"

pytestmark = pytest.mark.usefixtures("model_cache")


def card(source: object, **fields: object) -> ModelCard:
    return ModelCard.model_validate(
        {"alias": "tiny", "family": "latent_diffusion", "licence": "MIT", "source": str(source), **fields}
    )


def put(s3: object, folder: Path, prefix: str) -> str:
    """Upload the folder's files to the bucket, under a prefix that only this test uses."""
    files = s3.files()  # type: ignore[attr-defined]
    files.makedirs(BUCKET, exist_ok=True)
    contents = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    files.pipe({f"{BUCKET}/{prefix}/{name}": data for name, data in contents.items()})
    return f"s3://{BUCKET}/{prefix}"


def entries(cache: Path) -> list[str]:
    return sorted(path.suffix or "folder" for path in cache.iterdir())


def code_of(model: ModelCard) -> tuple[str, str]:
    with pytest.raises(RunError) as caught:
        fetch_weights(model)
    assert "\n" not in str(caught.value)
    return caught.value.code, caught.value.message


def test_a_model_is_pulled_from_s3_with_the_files_that_a_pipeline_loads(
    s3: object, model_folder: Folder, tmp_path: Path, model_cache: Path, sums: Sums
) -> None:
    folder = model_folder(tmp_path / "model")
    url = put(s3, folder, "whole")
    put(s3, model_folder(tmp_path / "other", fill=0.1), "whole-but-another")
    model = resolve(url)
    assert (model.alias, model.native_size) == ("whole", 512)
    assert bytes_here(model) is None
    here = fetch_weights(model)
    assert here.parent == model_cache
    got = sums(here)
    assert got == {name: sums(folder)[name] for name in got}
    assert got == checksums(model)
    assert sorted(got)[-1] == "vae/diffusion_pytorch_model.safetensors"
    assert len(got) == 8
    assert bytes_here(model) == sum((here / name).stat().st_size for name in got)
    assert entries(model_cache) == [".json", ".lock", "folder"]


def test_a_pulled_model_no_longer_needs_its_source(s3: object, model_folder: Folder, tmp_path: Path) -> None:
    url = put(s3, model_folder(tmp_path / "model"), "gone")
    model = resolve(url)
    here = fetch_weights(model)
    s3.files().rm(f"{BUCKET}/gone", recursive=True)  # type: ignore[attr-defined]
    assert fetch_weights(model) == here


def test_a_wrong_checksum_is_an_error_that_names_the_file(
    s3: object, model_folder: Folder, tmp_path: Path, model_cache: Path, sums: Sums
) -> None:
    folder = model_folder(tmp_path / "model")
    url = put(s3, folder, "wrong")
    listed = {name: sums(folder)[name] for name in ("model_index.json", UNET)} | {UNET: "0" * 64}
    code, message = code_of(card(url, files=listed))
    assert code == "model_checksum"
    assert message == f"tiny: {UNET} has SHA-256 {sums(folder)[UNET]}, expected {'0' * 64} as its card lists"
    assert entries(model_cache) == [".lock"]


def test_a_card_with_checksums_pulls_exactly_its_files(s3: object, model_folder: Folder, tmp_path: Path, sums: Sums) -> None:
    folder = model_folder(tmp_path / "model")
    url = put(s3, folder, "listed")
    listed = {name: sums(folder)[name] for name in ("README.md", UNET)}
    assert sums(fetch_weights(card(url, files=listed))) == listed


def test_without_checksums_later_pulls_must_match_the_first(
    s3: object, model_folder: Folder, tmp_path: Path, model_cache: Path
) -> None:
    model = card(put(s3, model_folder(tmp_path / "model"), "moving"))
    here = fetch_weights(model)
    first = checksums(model)
    put(s3, model_folder(tmp_path / "other", fill=0.75), "moving")
    (here / UNET).unlink()
    code, message = code_of(model)
    assert code == "model_checksum"
    record = here.parent / f"{here.name}.json"
    assert f"{UNET} has SHA-256" in message
    assert f"as first pulled here; delete {record} to trust the source again" in message
    record.unlink()
    fetch_weights(model)
    assert checksums(model)[UNET] != first[UNET]


def test_a_pinned_card_binds_another_machine(
    s3: object, model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pin_checksums(card(put(s3, model_folder(tmp_path / "model"), "bound")))
    put(s3, model_folder(tmp_path / "other", fill=0.75), "bound")
    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "cache of another machine"))
    assert code_of(model)[0] == "model_checksum"


def test_a_card_that_moves_on_gets_the_new_files_and_the_old_revision_stays(
    s3: object, model_folder: Folder, tmp_path: Path
) -> None:
    old = card(put(s3, model_folder(tmp_path / "old", fill=0.1), "moved-v1"), revision="v1")
    new = card(put(s3, model_folder(tmp_path / "new", fill=0.2), "moved-v2"), revision="v2")
    assert fetch_weights(old) != fetch_weights(new)
    assert checksums(old)[UNET] != checksums(new)[UNET]


def test_a_file_damaged_in_the_cache_is_pulled_again(s3: object, model_folder: Folder, tmp_path: Path) -> None:
    model = card(put(s3, model_folder(tmp_path / "model"), "damaged"))
    file = fetch_weights(model) / UNET
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert (fetch_weights(model) / UNET).read_bytes() == whole


def test_files_left_by_a_killed_pull_are_not_part_of_the_model(
    s3: object, model_folder: Folder, tmp_path: Path, model_cache: Path
) -> None:
    model = card(put(s3, model_folder(tmp_path / "model"), "stale"))
    folder = place(model)
    assert folder is not None
    partial = model_cache / f"{folder.name}.partial"
    (partial / "unet").mkdir(parents=True)
    (partial / UNET).write_bytes(b"half")
    (partial / "unet" / "left over.json").write_text("{}")
    here = fetch_weights(model)
    assert not (here / "unet" / "left over.json").exists()
    assert (here / UNET).stat().st_size > 100
    assert entries(model_cache) == [".json", ".lock", "folder"]


def test_truncated_weights_never_enter_the_cache(s3: object, model_folder: Folder, tmp_path: Path, model_cache: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-1])
    code, message = code_of(card(put(s3, folder, "cut")))
    assert code == "model_invalid"
    assert f"{UNET} is truncated" in message
    assert entries(model_cache) == [".lock"]


def test_a_missing_or_forbidden_bucket_is_reported_in_one_line(s3: object, tmp_path: Path) -> None:
    assert code_of(card("s3://no-such-bucket/model"))[0] == "model_unavailable"
    with pytest.raises(RunError, match="model_unavailable"):
        resolve("s3://no-such-bucket/model")
    with pytest.raises(RunError, match="model_unavailable"):
        resolve("nowhere://bucket/model")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hosts", "unet/../../outside.json"])
def test_names_that_lead_out_of_the_folder_are_refused(s3: object, tmp_path: Path, name: str) -> None:
    assert code_of(card("s3://models/any", files={name: "0" * 64})) == (
        "model_invalid",
        f"the file name {name!r} leads out of the model's folder",
    )


def test_pickled_weights_are_refused_even_if_listed(s3: object, model_folder: Folder, tmp_path: Path, sums: Sums) -> None:
    folder = model_folder(tmp_path / "model")
    name = "unet/diffusion_pytorch_model.bin"
    listed = {name: sums(folder)[name]}
    for source in (folder, "s3://models/any"):
        assert code_of(card(source, files=listed))[0] == "model_unsafe"


def test_an_unwritable_cache_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "file"))
    code, message = code_of(card("s3://models/any"))
    assert code == "model_unavailable"
    assert message.endswith("set CLEANPLATE_CACHE")


def test_a_folder_is_used_where_it_is(model_folder: Folder, tmp_path: Path, model_cache: Path) -> None:
    folder = model_folder(tmp_path / "model")
    assert fetch_weights(card(folder)) == folder
    assert fetch_weights(card(f"file://{folder}")) == folder
    assert not model_cache.exists()


def test_a_folder_of_links_as_the_hub_keeps_them_is_a_model(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "blobs")
    linked = tmp_path / "snapshots" / "abc"
    for file in folder.rglob("*"):
        if file.is_file():
            link = linked / file.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(file, link.parent))
    assert fetch_weights(card(linked)) == linked
    assert checksums(card(linked)) == checksums(card(folder))


def test_a_folder_with_a_file_that_differs_from_its_card_is_refused(model_folder: Folder, tmp_path: Path, sums: Sums) -> None:
    folder = model_folder(tmp_path / "model")
    model = card(folder, files={UNET: sums(folder)[UNET]})
    assert fetch_weights(model) == folder
    content = bytearray((folder / UNET).read_bytes())
    content[-1] ^= 1
    (folder / UNET).write_bytes(content)
    code, message = code_of(model)
    assert (code, UNET in message) == ("model_checksum", True)
    (folder / UNET).unlink()
    assert code_of(model) == ("model_unavailable", f"tiny: {folder / UNET} is missing")


def test_truncated_weights_in_a_folder_are_refused_by_name(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:5000])
    assert code_of(card(folder)) == ("model_invalid", f"{folder / UNET} is truncated: 5000 bytes of 16532")


def test_a_missing_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    assert code_of(card(tmp_path / "none")) == (
        "model_unavailable",
        f"tiny: there is no folder {tmp_path / 'none'} on this machine",
    )


def test_checksums_are_measured_once_and_again_when_a_file_changes(
    model_folder: Folder, tmp_path: Path, model_cache: Path
) -> None:
    folder = model_folder(tmp_path / "model")
    model = card(folder)
    assert known_checksums(model) == {}
    first = checksums(model)
    assert known_checksums(model) == first
    record = next(model_cache.glob("*.json"))
    content = json.loads(record.read_text())
    content["files"]["unet/config.json"]["sha256"] = "f" * 64
    record.write_text(json.dumps(content))
    assert checksums(model)["unet/config.json"] == "f" * 64
    (folder / "unet" / "config.json").write_text('{"sample_size": 32}')
    expected = hashlib.sha256(b'{"sample_size": 32}').hexdigest()
    assert checksums(model) == first | {"unet/config.json": expected}
