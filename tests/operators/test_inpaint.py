"""`inpaint` fills the open regions; no byte of a fill depends on its batch."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from ray import cloudpickle

from operators.generators.catalogue import generator_of
from operators.generators.classical import CLASSICAL as RUNGS
from operators.generators.generator import Request
from operators.generators.harmonise import harmonised
from operators.generators.microbatch import fill_all
from operators.generators.seeds import seed_of
from operators.inpaint import Inpaint
from operators.models.registry import pin_checksums, resolve
from operators.rows.failure import RunError
from operators.rows.schema import check_schema, ledger_rows
from operators.rows.table import row_views
from tests.operators.generators.tiny import saved

CLASSICAL = ["telea", "navier_stokes", "patchmatch"]


@pytest.fixture(scope="module")
def crop(photo):
    return np.ascontiguousarray(photo[150:246, 40:168])


@pytest.fixture(scope="module")
def hole(crop):
    hole = np.zeros(crop.shape[:2], bool)
    hole[30:50, 30:100] = True
    return hole


@pytest.fixture
def batch(rows, open_region, crop, hole):
    def make(**more):
        return rows(
            {"source_sha256": "aa", "regions": [open_region(40, 150, crop, hole, **more), open_region(8, 16, crop, hole)]},
            {"source_sha256": "bb", "regions": []},
        )

    return make


# --- seeds


def test_a_seed_depends_on_everything_it_is_made_of_and_on_nothing_else(box):
    base = (7, "aa", box(1, 2, 3, 4), "telea", 1)
    changed = [
        (8, *base[1:]),
        (7, "ab", *base[2:]),
        *((7, "aa", {**base[2], side: 99}, "telea", 1) for side in ("x", "y", "width", "height")),
        (7, "aa", base[2], "patchmatch", 1),
        (7, "aa", base[2], "telea", 2),
    ]
    seeds = [seed_of(*values) for values in (base, *changed)]
    assert len(set(seeds)) == len(seeds)
    assert seed_of(*base) == seeds[0]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_is_the_same_for_good(box):
    assert seed_of(0, "aa", box(1, 2, 3, 4), "telea", 1) == 7830200179938121085


def test_a_seed_does_not_confuse_neighbouring_numbers(box):
    boxes = [box(*corners) for corners in itertools.permutations((1, 11, 111, 1111))]
    assert len({seed_of(0, "aa", corners, "telea", 1) for corners in boxes}) == len(boxes)


# --- the operator


def test_open_regions_are_filled_and_their_attempt_recorded(batch):
    done = Inpaint(rung="telea", seed=3).apply(batch())
    check_schema(done, "inpaint")
    for region in row_views(done)[0].regions:
        assert region.fill().shape == region.array("pixels", 3).shape
        assert (region["rung"], region["passes"]) == ("telea", 1)
        assert region["seed"] == seed_of(3, "aa", region["crop"], "telea", 1)


def test_every_pass_counts_and_has_its_own_seed(batch):
    first = Inpaint().apply(batch())
    second = Inpaint().apply(first)
    for before, after in zip(row_views(first)[0].regions, row_views(second)[0].regions, strict=True):
        assert (before["passes"], after["passes"]) == (1, 2)
        assert before["seed"] != after["seed"]


def test_a_region_that_is_not_open_keeps_its_fill(batch, crop):
    kept = {"data": crop.tobytes(), "width": crop.shape[1], "height": crop.shape[0]}
    accepted = {"state": "accepted", "fill": kept, "rung": "patchmatch", "seed": 5, "passes": 1}
    before = batch(**accepted)
    after = Inpaint().apply(before)
    first, second = after["regions"].to_pylist()[0]
    assert first == before["regions"].to_pylist()[0][0]
    assert second["rung"] == "telea"


def test_an_image_without_open_regions_passes_unchanged(rows, open_region, crop, hole):
    table = rows({"source_sha256": "aa", "regions": [open_region(0, 0, crop, hole, state="accepted")]}, {"regions": None})
    assert Inpaint().apply(table).drop_columns(["timings"]).equals(table.drop_columns(["timings"]))


@pytest.mark.parametrize("rung", CLASSICAL)
def test_a_region_is_filled_the_same_alone_or_in_a_batch(batch, rung):
    table = batch()
    whole = Inpaint(rung=rung).apply(table)["regions"].to_pylist()[0]
    again = Inpaint(rung=rung).apply(table.slice(0, 1))["regions"].to_pylist()[0]
    reversed_order = Inpaint(rung=rung).apply(table.take([1, 0]))["regions"].to_pylist()[1]
    assert whole == again == reversed_order


@pytest.mark.parametrize("rung", CLASSICAL)
def test_the_pixels_in_the_hole_do_not_affect_the_fill(crop, hole, rung):
    marked = crop.copy()
    marked[hole] = (255, 0, 255)
    mask = np.where(hole, 255, 0).astype(np.uint8)
    assert np.array_equal(RUNGS[rung](crop, mask, 1)[hole], RUNGS[rung](marked, mask, 1)[hole])


@pytest.mark.parametrize("rung", CLASSICAL)
def test_a_hole_in_a_flat_picture_is_filled_with_its_colour(rung):
    flat = np.full((64, 64, 3), (30, 120, 210), np.uint8)
    marked = flat.copy()
    marked[20:40, 20:40] = 0
    mask = np.where(marked[:, :, 0] == 0, 255, 0).astype(np.uint8)
    assert np.abs(RUNGS[rung](marked, mask, 1).astype(int) - flat).max() <= 4


@pytest.mark.parametrize("rung", CLASSICAL)
def test_a_fill_is_nearer_to_the_truth_than_the_mark_was(crop, hole, rung):
    marked = crop.copy()
    marked[hole] = (255, 255, 0)
    fill = RUNGS[rung](marked, np.where(hole, 255, 0).astype(np.uint8), 1)
    error = np.abs(fill.astype(int) - crop)[hole].mean()
    assert error < np.abs(marked.astype(int) - crop)[hole].mean() / 2


@pytest.mark.parametrize("rung", CLASSICAL)
def test_a_crop_that_is_all_hole_has_no_fill(rows, open_region, crop, rung):
    table = rows({"source_sha256": "aa", "regions": [open_region(0, 0, crop, np.ones(crop.shape[:2], bool))]})
    done = Inpaint(rung=rung).apply(table)
    assert done["failure"].to_pylist() == [None]
    [region] = row_views(done)[0].regions
    assert region.fill() is None
    assert (region["rung"], region["passes"], region["state"]) == (rung, 1, "open")


def test_an_unknown_rung_is_refused_when_it_is_named():
    with pytest.raises(RunError, match="model_unknown: 'magic'"):
        Inpaint(rung="magic")


def test_an_operator_is_named_after_its_rung():
    assert Inpaint(rung="patchmatch").name == "inpaint_patchmatch"


# --- models


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return saved("sd9", tmp_path_factory.mktemp("models") / "tiny-sd")


def model_card(tiny, **more):
    return pin_checksums(resolve(str(tiny))).model_copy(update={"steps": 2, "microbatch": 2, **more})


def test_a_folder_is_a_rung_and_the_ledger_names_its_alias_prompt_and_hash(batch, tiny):
    operator = Inpaint(rung=str(tiny), seed=3, prompt="red bricks")
    assert operator.name == "inpaint_tiny-sd"
    done = Inpaint(rung=str(tiny), seed=3, prompt="red bricks", card=model_card(tiny)).apply(batch())
    check_schema(done, "inpaint")
    for region in ledger_rows(done)["regions"].to_pylist()[0]:
        assert region["rung"] == "tiny-sd" and region["passes"] == 1
        assert region["prompt"] == "the same surface continued, red bricks"
        assert region["prompt_sha256"] == hashlib.sha256(b"the same surface continued, red bricks\0").hexdigest()
        assert region["repeatable"] is True


def test_switching_the_model_changes_the_template_and_not_the_intent(batch, tiny):
    card = model_card(tiny, prompt="photo of {intent}", negative_prompt="letters")
    done = Inpaint(rung="x", prompt="red bricks", card=card).apply(batch())
    assert {region["prompt"] for region in done["regions"].to_pylist()[0]} == {
        "photo of the same surface continued, red bricks"
    }


def test_classical_fills_take_no_words_and_repeat_themselves(batch):
    for region in Inpaint(prompt="red bricks").apply(batch())["regions"].to_pylist()[0]:
        assert (region["prompt"], region["prompt_sha256"], region["repeatable"]) == (None, None, True)


def test_a_models_fill_is_brought_to_the_colours_around_its_hole(rows, open_region, photo, tiny):
    hole = np.zeros((60, 80), bool)
    hole[20:34, 10:-10] = True
    pixels = np.ascontiguousarray(photo[100:160, 100:180])
    operator = Inpaint(rung="x", card=model_card(tiny))
    table = rows({"source_sha256": "aa", "regions": [open_region(0, 0, pixels, hole)]})
    region = row_views(table)[0].regions[0]
    seed = seed_of(0, "aa", region["crop"], operator.model.alias, 1)
    request = Request(pixels, region.array("mask", 4), seed, "the same surface continued")
    plain = fill_all(generator_of(operator.model, tiny), [request])[0].pixels
    fill = row_views(operator.apply(table))[0].regions[0].fill()
    assert (fill[~hole] == plain[~hole]).all()
    assert (fill == harmonised(pixels, plain, np.where(hole, 255, 0).astype(np.uint8))).all()


def test_rows_share_microbatches_and_no_byte_depends_on_it(rows, open_region, photo, tiny):
    def region(x, y, height, width):
        hole = np.zeros((height, width), bool)
        hole[height // 3 : height // 2, 5:-5] = True
        return open_region(x, y, np.ascontiguousarray(photo[y : y + height, x : x + width]), hole)

    table = rows(
        {"source_sha256": "aa", "regions": [region(0, 0, 60, 60), region(100, 0, 60, 60), region(200, 0, 30, 90)]},
        {"source_sha256": "bb", "regions": [region(300, 30, 60, 60)]},
        {"source_sha256": "cc", "regions": []},
        {"source_sha256": "dd", "regions": [region(20, 300, 64, 60)]},
    )
    operator = Inpaint(rung="x", card=model_card(tiny, microbatch=4))
    together = operator.apply(table)
    for order in ([3, 1, 0, 2], [0], [1, 3]):
        apart = operator.apply(table.take(order))
        for place, index in enumerate(order):
            assert apart["regions"][place].as_py() == together["regions"][index].as_py()
    assert together["failure"].null_count == 4


def test_a_row_that_fails_does_not_lose_the_others(rows, open_region, crop, hole, tiny):
    sound, broken = open_region(40, 150, crop, hole), open_region(40, 150, crop, hole)
    broken["pixels"] = broken["pixels"][:-1]
    known = {"operator": "soften", "code": "corrupt", "message": "x"}
    table = rows(
        {"source_sha256": "aa", "regions": [sound]},
        {"source_sha256": "bb", "regions": [sound, broken]},
        {"source_sha256": "cc", "regions": [broken], "failure": known},
        {"source_sha256": "dd", "regions": [sound]},
    )
    for operator in (Inpaint(), Inpaint(rung="x", card=model_card(tiny))):
        done = operator.apply(table)
        codes = [failure and failure["code"] for failure in done["failure"].to_pylist()]
        assert codes == [None, None, "corrupt", None]
        assert [row["fill"] is not None for row in (regions[0] for regions in done["regions"].to_pylist())] == [
            True,
            True,
            False,
            True,
        ]
        failed = done["regions"].to_pylist()[1][1]
        assert (failed["fill"], failed["state"], failed["passes"], failed["seed"]) == (None, "open", 1, None)
        assert failed["reason"].startswith(f"fill_failed {operator.model.alias}: operator_error: ValueError: ")
        assert [(check["name"], check["passed"]) for check in failed["checks"]] == [("fill_failed", False)]


def test_the_models_time_is_counted_for_the_rows_it_was_spent_on(rows, open_region, crop, hole, tiny):
    table = rows({"source_sha256": "aa", "regions": [open_region(40, 150, crop, hole)]}, {"source_sha256": "bb", "regions": []})
    worked, idle = (row[-1] for row in Inpaint(rung="x", card=model_card(tiny)).apply(table)["timings"].to_pylist())
    assert worked["total"] >= worked["model"] > 0
    assert idle["model"] == 0


def test_an_operator_with_a_model_is_data(tiny):
    operator = Inpaint(rung=str(tiny), card=model_card(tiny))
    again = cloudpickle.loads(cloudpickle.dumps(operator))
    assert again == operator
    assert json.loads(json.dumps(operator.settings()))["card"]["files"] == model_card(tiny).files


def test_the_check_of_an_operator_refuses_a_model_that_cannot_be_loaded(tmp_path):
    folder = saved("sd9", tmp_path / "broken")
    operator = Inpaint(rung="x", card=model_card(folder))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match="is truncated"):
        operator.check()


def test_a_sound_model_passes_the_check(tiny):
    Inpaint(rung="x", card=model_card(tiny)).check()
    Inpaint(rung="telea").check()


def test_a_folder_that_is_no_model_is_refused_when_it_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(RunError, match="model_invalid"):
        Inpaint(rung=str(tmp_path))
