"""Requests that wait at once share the batches of a model, and nobody sees it in the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from flows.serve import pool as pools
from flows.serve.pool import ProcessPool
from flows.serve.wishes import Enlarge, Erase, Find, Inpaint
from flows.serve.work import Answer, Task, WrongRequest, batch_size, work
from operators.models.registry import histories
from operators.pictures.codec import Limits
from tests.fixtures.cli import Command
from tests.operators.generators.tiny import saved

BATCH = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of latent diffusion that fills three regions in one call."""
    folder = saved("sd9", tmp_path_factory.mktemp("models") / "tiny-sd")
    (folder / "cleanplate.yaml").write_text(f"microbatch: {BATCH}\nsteps: 2\n")
    return folder


@pytest.fixture(scope="module")
def posters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures with one text each, and one with none."""
    folder = tmp_path_factory.mktemp("posters")
    for number in range(6):
        picture = Image.linear_gradient("L").resize((360 + 8 * number, 160)).convert("RGB")
        if number < 5:
            text, font = f"SUMMER {number}", ImageFont.load_default(44)
            ImageDraw.Draw(picture).text((40, 50), text, (255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0))
        picture.save(folder / f"{number}.png")
    return folder


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A pool works in this process; the numbers of pictures that were worked together."""
    together: list[int] = []

    def counted(tasks: Sequence[Task]) -> list[Answer | WrongRequest]:
        together.append(len(tasks))
        return work(tasks)

    monkeypatch.setattr(pools, "_executor", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr(pools, "_end", lambda executor: executor.shutdown(wait=False))
    monkeypatch.setattr(pools, "warm", lambda *_: None)
    monkeypatch.setattr(pools, "work", counted)
    return together


def answers(tasks: Sequence[Task]) -> list[Answer | BaseException]:
    """What a pool of one process answers to tasks that all wait when the process becomes free."""

    async def ask() -> list[Answer | BaseException]:
        pool = ProcessPool(1, 120, Limits())
        asked = [asyncio.ensure_future(pool.work(task)) for task in tasks]
        while sum(map(len, pool._waiting.values())) < len(tasks):
            await asyncio.sleep(0.01)
        await pool.open()
        try:
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await pool.close()

    return asyncio.run(ask())


def data(answer: Answer | BaseException) -> bytes:
    assert isinstance(answer, Answer), answer
    return answer.data


def test_only_models_that_gain_by_batches_have_them() -> None:
    presets = [Erase(preset=preset) for preset in ("fast", "balanced", "quality")]
    alone = [*presets, Erase(fill="blur"), Enlarge(), Find(), Erase(model="https://host.example/v1/images/edits#painter")]
    assert {batch_size(wish) for wish in alone} == {1}
    assert (batch_size(Erase(model="sd15-inpainting")), batch_size(Inpaint(model="sdxl-inpainting"))) == (4, 2)
    cards = {alias: versions[0] for alias, versions in histories().items()}
    assert all(batch_size(Erase(model=alias)) == card.microbatch for alias, card in cards.items() if card.family != "upscaler")


def test_requests_that_wait_share_batches_and_get_the_bytes_of_the_command_line(
    in_this_process: list[int], model: Path, posters: Path, tmp_path: Path
) -> None:
    files = sorted(posters.iterdir())
    wish = Erase(model=str(model), accept="best")
    worked = answers([Task(wish, file.read_bytes()) for file in files])
    assert in_this_process == [BATCH, BATCH]
    done = Command()("erase", posters, tmp_path / "out", "--model", model, "--accept", "best", most_seconds=500)
    assert done.code == 0, done.err
    assert [data(answer) for answer in worked] == [(tmp_path / "out" / "images" / file.name).read_bytes() for file in files]
    assert [answer.verdict for answer in worked if isinstance(answer, Answer)] == ["edited"] * 5 + ["untouched"]


def test_other_options_share_no_batch_and_presets_share_none_at_all(
    in_this_process: list[int], model: Path, posters: Path
) -> None:
    picture = (posters / "0.png").read_bytes()
    seeds = (0, 1, 1)
    worked = answers([Task(Erase(seed=seed, model=str(model), accept="best"), picture) for seed in seeds])
    assert in_this_process == [1, 2]
    assert data(worked[0]) != data(worked[1]) == data(worked[2])
    in_this_process.clear()
    answers([Task(Erase(seed=seed, preset="fast"), picture) for seed in seeds])
    assert in_this_process == [1, 1, 1]


def test_masks_and_damaged_pictures_of_one_batch_are_each_their_own(
    in_this_process: list[int], model: Path, posters: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    pictures = [(posters / f"{number}.png").read_bytes() for number in range(3)]
    masks = []
    for number in range(3):
        mask = Image.new("L", Image.open(posters / f"{number}.png").size)
        ImageDraw.Draw(mask).rectangle((30 + 40 * number, 50, 120 + 40 * number, 90), 255)
        mask.save(tmp_path / "masks" / f"{number}.png")
        masks.append((tmp_path / "masks" / f"{number}.png").read_bytes())
    wish = Inpaint(model=str(model))
    together = answers([Task(wish, data, mask) for data, mask in zip(pictures, masks, strict=True)])
    assert in_this_process == [BATCH]
    alone = [answers([Task(wish, data, mask)])[0] for data, mask in zip(pictures, masks, strict=True)]
    assert [data(answer) for answer in together] == [data(answer) for answer in alone]
    broken = answers(
        [Task(wish, pictures[0][:900], masks[0]), Task(wish, pictures[1], masks[0]), Task(wish, pictures[2], masks[2])]
    )
    assert [error.code for error in broken[:2] if isinstance(error, WrongRequest)] == ["truncated", "mask_unreadable"]
    assert data(broken[2]) == data(together[2])


def test_of_a_batch_whose_process_is_lost_only_the_culprit_is_rolled_back(
    monkeypatch: pytest.MonkeyPatch, in_this_process: list[int], model: Path
) -> None:
    def lost_to_the_second(tasks: Sequence[Task]) -> list[Answer | WrongRequest]:
        in_this_process.append(len(tasks))
        if any(task.data == b"1" for task in tasks):
            raise BrokenProcessPool
        return [Answer(task.data * 2, "edited") for task in tasks]

    monkeypatch.setattr(pools, "work", lost_to_the_second)
    worked = answers([Task(Erase(model=str(model)), str(number).encode()) for number in range(3)])
    assert [(data(answer), answer.reasons) for answer in worked if isinstance(answer, Answer)] == [
        (b"00", ()),
        (b"1", ("worker_crashed",)),
        (b"22", ()),
    ]
    assert in_this_process == [3, 1, 1, 1]
