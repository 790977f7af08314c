import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flows.audit.boundaries.crossing import pooled
from flows.audit.boundaries.sample import take_sample
from flows.audit.boundaries.weights import paste_back, soft_mask
from operators.storage.listing import list_source


def test_weights_are_off_by_half_a_step_at_most(sample):
    assert 0 < pooled(soft_mask(sample)).grey_levels <= 0.5 + 1e-4


def test_a_paste_back_is_off_by_half_a_level_at_most(sample):
    assert 0 < pooled(paste_back(sample)).grey_levels <= 0.5 + 1e-4


def test_the_weights_are_those_of_a_text_that_was_parted_from_the_symbol_beside_it(tmp_path):
    from font_roboto import Roboto

    image = Image.new("RGB", (620, 200), (236, 236, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 84, 74, 118), outline=(60, 60, 70), width=3)
    draw.text((91, 80), "Remember this device", (120, 120, 128), ImageFont.truetype(Roboto, 34))
    image.save(tmp_path / "box.png")
    (item,) = list_source(str(tmp_path / "box.png"), "")
    sample = take_sample(item)
    found, softened = (np.array(regions[0]["polygons"][0])[:, 0].min() for regions in (sample.found, sample.softened))
    assert softened > found + 10
    assert 0 < pooled(soft_mask(sample)).grey_levels <= 0.5 + 1e-4
    assert pooled(paste_back(sample)).grey_levels <= 0.5 + 1e-4
