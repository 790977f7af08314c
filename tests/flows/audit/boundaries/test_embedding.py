import cv2
import numpy as np
import pytest

from flows.audit.boundaries.crossing import BAND_NAMES, compare_values
from flows.audit.boundaries.embedding import Sight, embedding_stored, measure_sights, visibility
from flows.audit.contracts import LEAST_SEEN, breaches


def thumbnail(side):
    """An embedding that sees little that is finer than a cell of a grid of `side` cells."""
    return lambda rgb: cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 255


def blurred(rgb):
    """An embedding that sees nothing of the finest band."""
    return cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 4)[::4, ::4].ravel()


def test_without_an_encoder_nothing_crosses(sample):
    assert list(embedding_stored(sample)) == []
    assert list(measure_sights(sample)) == []


def test_the_row_keeps_an_embedding_to_half_of_its_last_bit_and_smaller_types_do_not(with_models):
    found = {crossing.boundary: crossing for crossing in embedding_stored(with_models(embed=thumbnail(16)))}
    assert list(breaches(found["embedding to stored type"])) == []
    assert list(breaches(compare_values("embedding to stored type", np.ones(1), np.full(1, 1.001), 1))) != []
    assert 0 < found["embedding to float16"].grey_levels < 255 * 2**-11
    assert 0 < found["embedding to uint8"].grey_levels <= 0.5 + 1e-3


def test_a_coarse_embedding_no_longer_sees_fine_bands(with_models):
    found = visibility(list(measure_sights(with_models(embed=blurred))))
    assert list(found) == [*BAND_NAMES, "text"]
    assert found[BAND_NAMES[0]] < LEAST_SEEN < found[BAND_NAMES[3]]


def test_an_embedding_of_all_pixels_sees_every_band_alike(with_models):
    found = visibility(list(measure_sights(with_models(embed=lambda rgb: rgb.astype(np.float32).ravel()))))
    assert min(found.values()) > 0.99


def test_seen_is_the_move_for_each_level_removed_over_all_pictures():
    both = [Sight("fine", 2, 0.1), Sight("fine", 2, 0.3), Sight("coarse", 4, 0.8)]
    assert visibility(both) == {"fine": pytest.approx(0.5), "coarse": 1}
    assert visibility([]) == {}


def test_a_flat_picture_has_nothing_to_remove(make_sample):
    flat = make_sample("flat.png", size=(8, 8))
    object.__setattr__(flat, "embed", thumbnail(4))
    object.__setattr__(flat, "rgb", np.full((64, 64, 3), 80, np.uint8))
    assert list(measure_sights(flat)) == []
