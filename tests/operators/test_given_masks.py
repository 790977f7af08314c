"""`given_masks` turns mask files into regions without losing a pixel or a grey level."""

import numpy as np
import pytest
from PIL import Image

from operators.given_masks import NEAR, GivenMasks
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from operators.rows.schema import check_schema
from operators.rows.table import row_views
from operators.storage import files as storage

WIDTH, HEIGHT = 90, 60
FORMATS = [("a/b.jpg", "PNG"), ("a/b.jpg.png", "PNG"), ("a/b.webp", "WEBP"), ("a/b.tif", "TIFF")]


def marks(*boxes, value=255):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = value
    return mask


@pytest.fixture
def masked(tmp_path, saved, rows):
    """The row of `a/b.jpg`, worked with the given mask files."""

    def work(files, path="a/b.jpg", exif=None, data=None, **settings):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        image = data or saved(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "JPEG", **({"exif": exif} if exif else {}))
        done = GivenMasks(masks=str(tmp_path), **settings).apply(rows({"path": path, "bytes": image}))
        check_schema(done, "given_masks")
        return done

    return work


def code_of(table):
    return table["failure"].to_pylist()[0]["code"]


def weights(table):
    """The regions' weights laid back into the picture."""
    [row] = row_views(table)
    whole = np.zeros((row["height"], row["width"]), np.uint8)
    for region in row.regions:
        data, box = region.probability()
        area = np.s_[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
        whole[area] = np.maximum(whole[area], data)
    return whole


def test_a_mask_becomes_regions_without_losing_a_pixel_or_a_grey_level(masked, saved):
    mask = marks((5, 5, 10, 4), (60, 40, 20, 15))
    mask[41:50, 62:70] = np.arange(72, dtype=np.uint8).reshape(9, 8) + 100
    done = masked({"a/b.png": saved(mask, "PNG")})
    assert np.array_equal(weights(done), mask)
    assert len(done["regions"].to_pylist()[0]) == 2
    assert (done["width"].to_pylist(), done["height"].to_pylist(), done["mode"].to_pylist()) == ([WIDTH], [HEIGHT], ["RGB"])


def test_a_region_is_the_tight_box_of_its_mark(masked, saved):
    [region] = masked({"a/b.png": saved(marks((5, 6, 10, 4)), "PNG")})["regions"].to_pylist()[0]
    assert region["probability"]["box"] == {"x": 5, "y": 6, "width": 10, "height": 4}
    assert region["polygons"] == [[[5, 6], [14, 6], [14, 9], [5, 9]]]
    assert (region["kind"], region["score"]) == ("mask", 1.0)


@pytest.mark.parametrize(("gap", "count"), [(2, 1), (2 * NEAR - 2, 1), (2 * NEAR + 3, 2)])
def test_marks_near_each_other_are_one_region(masked, saved, gap, count):
    done = masked({"a/b.png": saved(marks((5, 5, 10, 10), (15 + gap, 5, 10, 10)), "PNG")})
    assert len(done["regions"].to_pylist()[0]) == count


def test_marks_at_the_edge_are_whole(masked, saved):
    mask = marks((0, 0, 3, 3), (WIDTH - 3, HEIGHT - 3, 3, 3))
    assert np.array_equal(weights(masked({"a/b.png": saved(mask, "PNG")})), mask)


def test_an_empty_mask_has_no_regions_and_is_no_failure(masked, saved):
    done = masked({"a/b.png": saved(marks(), "PNG")})
    assert done["regions"].to_pylist() == [[]]
    assert done["failure"].to_pylist() == [None]


@pytest.mark.parametrize(("name", "kind"), FORMATS)
def test_a_mask_may_have_any_format(masked, saved, name, kind):
    mask = marks((5, 5, 10, 4))
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(weights(masked({name: saved(mask, kind, **options)})), mask)


def test_the_file_of_the_same_name_comes_first(masked, saved):
    first, second = marks((5, 5, 10, 4)), marks((50, 5, 10, 4))
    assert np.array_equal(weights(masked({"a/b.jpg": saved(first, "PNG"), "a/b.png": saved(second, "PNG")})), first)


@pytest.mark.parametrize("path", ["a b#%20.jpg", "ü/漢字.tar.jpg"])
def test_names_are_taken_literally(masked, saved, path):
    mask = marks((5, 5, 10, 4))
    assert np.array_equal(weights(masked({path: saved(mask, "PNG")}, path=path)), mask)


def test_black_and_white_masks_are_understood(masked, saved):
    mask = marks((5, 5, 10, 4))
    assert np.array_equal(weights(masked({"a/b.png": saved(Image.fromarray(mask).convert("1"), "PNG")})), mask)


def test_a_mask_of_sixteen_bits_keeps_its_weights(masked, saved):
    mask = marks((5, 5, 10, 4)) + marks((5, 9, 10, 1), value=100)
    assert np.array_equal(weights(masked({"a/b.png": saved(Image.fromarray(mask.astype(np.uint16) * 257), "PNG")})), mask)


def test_a_mask_lies_over_the_upright_picture(masked, saved):
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = np.zeros((WIDTH, HEIGHT), np.uint8)
    mask[70:80, 5:15] = 255
    done = masked({"a/b.png": saved(mask, "PNG")}, exif=exif)
    assert (done["width"].to_pylist(), done["height"].to_pylist()) == ([HEIGHT], [WIDTH])
    assert np.array_equal(weights(done), mask)


def test_a_mask_of_the_unturned_image_is_refused_with_the_reason(masked, saved):
    exif = Image.Exif()
    exif[0x0112] = 6
    done = masked({"a/b.png": saved(marks((5, 5, 10, 4)), "PNG")}, exif=exif)
    failure = done["failure"].to_pylist()[0]
    assert failure["code"] == "mask_unreadable"
    assert "masks lie over the upright image" in failure["message"]


def test_the_masks_own_orientation_is_applied(masked, saved):
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = marks((5, 5, 10, 4))
    done = masked({"a/b.png": saved(np.ascontiguousarray(np.rot90(mask)), "PNG", exif=exif)})
    assert np.array_equal(weights(done), mask)


@pytest.mark.parametrize("name", ["a/b.PNG", "a/b.Png", "a/b.jpg.PNG", "a/b.TIFF"])
def test_the_ending_of_a_mask_may_be_in_upper_case(masked, saved, name):
    mask = marks((5, 5, 10, 4))
    assert np.array_equal(weights(masked({name: saved(mask, "PNG")})), mask)


@pytest.mark.parametrize(
    ("mask_name", "name"),
    [("{stem}_mask.png", "a/b_mask.png"), ("{name}.mask", "a/b.jpg.mask"), ("m/{stem}.{{1}}.png", "m/a/b.{1}.png")],
)
def test_a_name_with_fields_finds_the_mask_and_no_other(masked, saved, mask_name, name):
    first, second = marks((5, 5, 10, 4)), marks((50, 5, 10, 4))
    files = {name: saved(first, "PNG"), "a/b.png": saved(second, "PNG")}
    assert np.array_equal(weights(masked(files, mask_name=mask_name)), first)
    assert code_of(masked({}, mask_name="{stem}_other.png")) == "mask_missing"


@pytest.mark.parametrize(
    "mask_name", ["mask.png", "{dir}/mask.png", "{}_mask.png", "{0}.png", "{stem!r}", "{stem:>9}", "{stem", ""]
)
def test_a_name_without_a_field_or_with_another_one_is_refused(mask_name):
    with pytest.raises(RunError) as raised:
        GivenMasks("masks", mask_name=mask_name)
    assert (raised.value.code, raised.value.exit_code) == ("option_invalid", 2)


def test_an_unclear_mask_delivers_the_original_and_names_the_file(masked, saved):
    failure = masked({"a/b.png": saved(255 - marks((5, 5, 10, 4)), "PNG")})["failure"].to_pylist()[0]
    assert failure["code"] == "mask_unclear"
    assert failure["message"].startswith("a/b.png: ")


def test_a_mask_of_another_size_is_refused_before_it_is_decoded(masked, saved):
    whole = saved(np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8), "PNG")
    failure = masked({"a/b.png": whole[:200]})["failure"].to_pylist()[0]
    assert failure["message"] == f"a/b.png: 400 x 300 pixels, the image has {WIDTH} x {HEIGHT}"


def test_images_of_which_one_has_a_mask_are_worked(tmp_path):
    (tmp_path / "900.PNG").write_bytes(b"any")
    GivenMasks(str(tmp_path)).check_images(lambda: (f"{number}.jpg" for number in range(1000)))


def test_images_of_which_none_has_a_mask_end_the_run_before_it_starts(tmp_path):
    (tmp_path / "7_mask.png").write_bytes(b"any")
    with pytest.raises(RunError) as raised:
        GivenMasks(str(tmp_path)).check_images(lambda: (f"{number}.jpg" for number in range(40)))
    assert (raised.value.code, raised.value.exit_code) == ("masks_missing", 2)
    assert "first 40 images" in raised.value.message
    GivenMasks(str(tmp_path), mask_name="{stem}_mask.png").check_images(lambda: iter(["7.jpg"]))


def test_the_search_ends_at_the_first_mask(tmp_path):
    (tmp_path / "0.png").write_bytes(b"any")
    listing = iter(["0.jpg", "1.jpg"])
    GivenMasks(str(tmp_path)).check_images(lambda: listing)
    assert next(listing) == "1.jpg"


def test_a_missing_mask_delivers_the_original(masked, saved):
    assert code_of(masked({"a/other.png": saved(marks(), "PNG")})) == "mask_missing"


def test_a_mask_of_another_size_or_no_image_is_unreadable(masked, saved):
    assert code_of(masked({"a/b.png": saved(np.zeros((HEIGHT, WIDTH - 1), np.uint8), "PNG")})) == "mask_unreadable"
    assert code_of(masked({"a/b.png": b"no image"})) == "mask_unreadable"
    assert code_of(masked({"a/b.png": saved(marks((5, 5, 10, 4)), "PNG")[:60]})) == "mask_unreadable"


def test_a_mask_of_an_animation_has_the_size_of_a_frame_and_holds_for_all_of_them(masked, saved):
    ground = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    other = ground.copy()
    other[:, :30] = 255 - other[:, :30]
    frames = [Image.fromarray(view) for view in (ground, other, 255 - ground)]
    animation = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    mask = saved(marks((50, 6, 10, 4)), "PNG")
    boxes = [region["probability"]["box"] for region in masked({"a/b.png": mask}, data=animation)["regions"].to_pylist()[0]]
    step = -(-(HEIGHT + 32) // 64) * 64
    assert boxes == [{"x": 50, "y": top + 6, "width": 10, "height": 4} for top in (0, 2 * step)]


def test_the_image_is_checked_before_its_mask(masked, saved):
    done = masked({"a/b.png": saved(marks(), "PNG")}, limits=Limits(max_pixels=10))
    assert code_of(done) == "pixels_over_limit"


def test_in_a_bucket_a_mask_of_another_name_takes_one_listing(s3, saved, rows, monkeypatch):
    files, mask = s3.files(), marks((5, 5, 10, 4))
    files.mkdir("masks")
    for key in ("a/b.PNG", "a/b.txt", "a/b.d/c.png", "a/c.png"):
        files.pipe_file(f"masks/{key}", saved(mask, "PNG"))
    read, asked = storage.read, []
    monkeypatch.setattr(storage, "read", lambda uri: asked.append(uri) or read(uri))
    image = saved(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), "JPEG")
    paths = ("a/b.jpg", "a/c.jpg", "none/b.jpg")
    done = GivenMasks("s3://masks").apply(rows(*({"path": path, "bytes": image} for path in paths)))
    codes = [failure and failure["code"] for failure in done["failure"].to_pylist()]
    assert codes == [None, None, "mask_missing"]
    assert asked == [f"s3://masks/{key}" for key in ("a/b.jpg", "a/b.PNG", "a/c.jpg", "a/c.png", "none/b.jpg")]
    with pytest.raises(RunError, match="masks_missing"):
        GivenMasks("s3://masks/none").check_images(lambda: iter(["b.jpg"]))
