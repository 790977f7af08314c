"""Aliases are stable, revisions move on, and folders and URLs are models too."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from operators.generators.classical import CLASSICAL
from operators.models import registry
from operators.models.card import ModelCard
from operators.models.registry import cards, fetch_weights, histories, identity, pin_checksums, resolve
from operators.models.sources import origin
from operators.rows.failure import RunError

Folder = Callable[..., Path]

MOVED = """
alias: mover
revisions:
  - {revision: new, family: latent_diffusion, licence: MIT, source: owner/mover, steps: 9}
  - {revision: old, family: latent_diffusion, licence: MIT, source: owner/mover, steps: 30}
"""


@pytest.fixture()
def moved(tmp_path: Path) -> Path:
    (tmp_path / "mover.yaml").write_text(MOVED)
    return tmp_path


SHIPPED = sorted(registry.CARDS.glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_file_is_a_card(file: Path) -> None:
    for card in histories()[file.stem]:
        assert card.alias == file.stem
        assert card.licence
        assert "{intent}" in card.prompt
        assert card.native_size % card.size_multiple == 0
        assert card.stochasticity == 0
        assert resolve(f"{card.alias}@{card.revision}" if card.revision else card.alias) == card


def test_shipped_models_of_the_hub_are_pinned_to_a_commit() -> None:
    of_the_hub = [card for revisions in histories().values() for card in revisions if origin(card) == "hub"]
    assert len(of_the_hub) >= 6
    for card in of_the_hub:
        assert len(bytes.fromhex(card.revision)) == 20, card.alias


def test_every_classical_rung_has_a_card_and_no_files() -> None:
    assert {card.alias for card in cards().values() if card.family == "classical"} == set(CLASSICAL)
    for alias in CLASSICAL:
        assert origin(resolve(alias)) == "code"


def test_the_licence_that_forbids_commercial_use_says_so() -> None:
    card = resolve("flux-fill")
    assert "Non-Commercial" in card.licence
    assert "Not for commercial use" in card.note


def test_an_alias_names_its_first_revision_and_earlier_ones_by_name(moved: Path) -> None:
    assert resolve("mover", moved).steps == 9
    assert resolve("mover@new", moved) == resolve("mover", moved)
    assert resolve("mover@old", moved).steps == 30


@pytest.mark.parametrize("reference", ["mover@", "mover@older", "mover@ol"])
def test_an_unknown_revision_is_refused_with_the_known_ones(moved: Path, reference: str) -> None:
    with pytest.raises(RunError, match=r"model_unknown: mover has no revision .*: new, old$"):
        resolve(reference, moved)


def test_an_unknown_alias_is_refused_with_the_nearest() -> None:
    with pytest.raises(RunError) as caught:
        resolve("sdxl-inpaint")
    assert caught.value.code == "model_unknown"
    assert "there are: sdxl-inpainting" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        MOVED.replace("revision: old", "revision: new"),
        MOVED.replace("alias: mover", "alias: another"),
        MOVED.replace("steps: 9", "step: 9"),
        MOVED + "more: 1\n",
        "alias: mover\nrevisions: []\n",
        "alias: mover\nrevisions: [1]\n",
        "- mover\n",
        "alias: [\n",
    ],
)
def test_an_invalid_card_file_is_refused_by_name_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "mover.yaml").write_text(content)
    with pytest.raises(RunError, match=r"^model_card_invalid: mover\.yaml: ") as caught:
        cards(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_a_model_by_path_and_by_url(model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_folder(tmp_path / "telea")
    monkeypatch.chdir(tmp_path)
    expected = resolve(str(folder))
    assert expected.source == str(folder)
    for reference in ("./telea", f"file://{folder}", f"{folder}/", "../" + tmp_path.name + "/telea"):
        assert resolve(reference) == expected
    assert resolve("telea").source == ""


REFERENCES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(lambda text: "://" not in text)


@given(REFERENCES)
def test_any_reference_gives_a_card_or_one_line(reference: str) -> None:
    if os.path.isdir(os.path.expanduser(reference)):
        return
    try:
        assert isinstance(resolve(reference), ModelCard)
    except RunError as error:
        assert error.code == "model_unknown"
        assert "\n" not in str(error)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
REVISIONS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20)


@given(NAMES, st.lists(REVISIONS, min_size=1, max_size=4, unique=True))
def test_every_revision_stays_reachable(tmp_path_factory: pytest.TempPathFactory, alias: str, revisions: list[str]) -> None:
    folder = tmp_path_factory.mktemp("cards")
    entries = [{"revision": name, "family": "classical", "licence": "MIT"} for name in revisions]
    (folder / f"{alias}.yaml").write_text(yaml.safe_dump({"alias": alias, "revisions": entries}))
    assert resolve(alias, folder).revision == revisions[0]
    assert [resolve(f"{alias}@{name}", folder).revision for name in revisions] == revisions


def test_identity_is_the_hash_of_the_output_of_sha256sum(model_folder: Folder, tmp_path: Path, model_cache: Path) -> None:
    folder = model_folder(tmp_path / "model")
    names = pin_checksums(resolve(str(folder))).files
    printed = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names))
    assert identity(resolve(str(folder))) == {
        "alias": "model",
        "revision": "",
        "licence": "unknown",
        "source": str(folder),
        "sha256": hashlib.sha256(printed.encode()).hexdigest(),
    }


def test_changed_weights_change_the_identity_and_others_files_do_not(
    model_folder: Folder, tmp_path: Path, model_cache: Path
) -> None:
    folder, other = model_folder(tmp_path / "model"), model_folder(tmp_path / "other", fill=0.25)
    before = identity(resolve(str(folder)))["sha256"]
    (folder / "README.md").write_text("# Another text")
    assert identity(resolve(str(folder)))["sha256"] == before
    weights = "unet/diffusion_pytorch_model.safetensors"
    (folder / weights).write_bytes((other / weights).read_bytes())
    assert identity(resolve(str(folder)))["sha256"] != before


def test_a_pinned_card_binds_to_the_files_that_were_there(model_folder: Folder, tmp_path: Path, model_cache: Path) -> None:
    folder, other = model_folder(tmp_path / "model"), model_folder(tmp_path / "other", fill=0.25)
    card = pin_checksums(resolve(str(folder)))
    assert fetch_weights(card) == folder
    weights = "vae/diffusion_pytorch_model.safetensors"
    (folder / weights).write_bytes((other / weights).read_bytes())
    with pytest.raises(RunError, match=f"^model_checksum: model: {weights} has SHA-256 "):
        fetch_weights(card)


def test_models_that_are_code_have_an_identity_without_files() -> None:
    card = resolve("patchmatch")
    assert identity(card) == {"alias": "patchmatch", "revision": "", "licence": "MIT", "source": "", "sha256": ""}
    assert pin_checksums(card) == card
    with pytest.raises(ValueError, match="patchmatch"):
        fetch_weights(card)
