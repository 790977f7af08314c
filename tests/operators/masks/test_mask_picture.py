"""A mask picture is read as what it means, at every depth and in every colour, or is unclear."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from operators.masks.mask_picture import weights_of
from operators.rows.failure import Failure

WIDTH, HEIGHT = 120, 80
MARKED = np.zeros((HEIGHT, WIDTH), bool)
MARKED[20:50, 30:90] = True
WHITE = np.where(MARKED, np.uint8(255), np.uint8(0))


def painted(colour: tuple[int, int, int], ground: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """The marks in one colour on another."""
    return Image.fromarray(np.where(MARKED[:, :, None], np.uint8(colour), np.uint8(ground)))


def layer(colour: tuple[int, int, int], ground: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """The marks in one colour on a transparent ground."""
    return Image.fromarray(np.dstack([np.asarray(painted(colour, ground)), WHITE]))


def palette(values: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    """A palette picture with the given indices."""
    picture = Image.fromarray(values.astype(np.uint8), "P")
    picture.putpalette([sample for colour in colours for sample in colour])
    return picture


def saved(picture: Image.Image, kind: str, **options: object) -> Image.Image:
    """The picture as a reader finds it after it was saved."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return Image.open(file)


SAME = {
    "8 bit": Image.fromarray(WHITE),
    "0 and 1": Image.fromarray(MARKED.astype(np.uint8)),
    "1 bit": Image.fromarray(MARKED),
    "16 bit": Image.fromarray(MARKED.astype(np.uint16) * 65535),
    "16 bit with 0 and 1": Image.fromarray(MARKED.astype(np.uint16)),
    "16 bit with 0 and 255": Image.fromarray(MARKED.astype(np.uint16) * 255),
    "32 bit with 0 and 1": Image.fromarray(MARKED.astype(np.int32)),
    "floats": Image.fromarray(MARKED.astype(np.float32)),
    "numbers of objects": Image.fromarray((MARKED * np.where(np.arange(WIDTH) > 60, 1, 2)).astype(np.uint8)),
    "palette whose first colour is white": palette(~MARKED, (255, 255, 255), (0, 0, 0)),
    "palette of dark colours": palette(MARKED * np.where(np.arange(WIDTH) > 60, 1, 2), (0, 0, 0), (64, 0, 0), (192, 128, 128)),
    "red brush": painted((255, 0, 0)),
    "dark green brush": painted((0, 120, 0)),
    "blue brush on nearly black": painted((20, 20, 200), (5, 5, 5)),
    "white on nearly black": painted((255, 255, 255), (20, 20, 20)),
    "white everywhere, and alpha": layer((255, 255, 255), (255, 255, 255)),
    "red on a transparent ground": layer((255, 0, 0)),
    "black on a transparent ground": layer((0, 0, 0)),
    "black on a transparent white ground": layer((0, 0, 0), (255, 255, 255)),
    "opaque alpha": painted((255, 255, 255)).convert("RGBA"),
    "grey with alpha": Image.fromarray(np.dstack([np.full_like(WHITE, 255), WHITE])),
    "one transparent grey": saved(Image.fromarray(WHITE), "PNG", transparency=0),
}


@pytest.mark.parametrize("picture", SAME.values(), ids=SAME)
def test_every_way_to_draw_the_same_marks_gives_the_same_weights(picture: Image.Image) -> None:
    assert np.array_equal(weights_of(picture), WHITE)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_noise_of_jpeg_is_no_mark_and_leaves_the_marks_whole(quality: int) -> None:
    disc = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(disc, (60, 40), 25, 255, -1)
    noisy = saved(Image.fromarray(disc), "JPEG", quality=quality)
    assert ((np.asarray(noisy) > 0) & (disc == 0)).sum() > 100
    weights = weights_of(noisy)
    assert set(np.unique(weights)) == {0, 255}
    outline = (cv2.dilate(disc, np.ones((3, 3), np.uint8)) > disc).sum()
    assert ((weights > 0) ^ (disc > 0)).sum() <= outline / 10


def test_soft_edges_stay_soft() -> None:
    soft = cv2.GaussianBlur(WHITE, (0, 0), 5)
    weights = weights_of(Image.fromarray(soft))
    scaled = soft * (255 / soft.max())
    middle = (scaled >= 49) & (scaled <= 206)
    assert np.abs(weights[middle] - scaled[middle]).max() <= 1
    assert (weights[scaled >= 231] == 255).all()
    assert (weights[scaled <= 24] == 0).all()
    slope = np.argsort(scaled, axis=None)
    assert (np.diff(weights.flat[slope].astype(int)) >= 0).all()


def test_an_antialiased_edge_keeps_its_greys() -> None:
    edge = WHITE.copy()
    edge[20, 30:90] = 100
    assert (weights_of(Image.fromarray(edge))[20, 30:90] == 100).all()


def test_a_mask_without_marks_is_empty() -> None:
    for empty in (Image.new("L", (9, 7)), Image.new("1", (9, 7)), Image.new("I;16", (9, 7)), Image.new("RGB", (9, 7))):
        assert not weights_of(empty).any()


def photograph() -> Image.Image:
    """Smooth noise over all levels, as in a photograph."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return Image.fromarray(cv2.normalize(smooth, None, 10, 250, cv2.NORM_MINMAX).astype(np.uint8))


NOT_A_NUMBER = np.full((HEIGHT, WIDTH), np.nan, np.float32)
UNCLEAR = {
    "all white": Image.new("L", (WIDTH, HEIGHT), 255),
    "all grey": Image.new("L", (WIDTH, HEIGHT), 128),
    "all 1": Image.new("L", (WIDTH, HEIGHT), 1),
    "black marks on white": Image.fromarray(255 - WHITE),
    "large black marks on white": Image.fromarray(np.pad(np.zeros((50, 90), np.uint8), 15, constant_values=255)),
    "red on white": painted((255, 0, 0), (255, 255, 255)),
    "marks on dark grey": painted((255, 255, 255), (40, 40, 40)),
    "a photograph": photograph(),
    "a hole in a layer": Image.fromarray(np.dstack([np.full((HEIGHT, WIDTH, 3), 255, np.uint8), 255 - WHITE])),
    "not a number": Image.fromarray(NOT_A_NUMBER),
}


@pytest.mark.parametrize("picture", UNCLEAR.values(), ids=UNCLEAR)
def test_a_mask_that_could_only_be_guessed_is_unclear(picture: Image.Image) -> None:
    with pytest.raises(Failure) as raised:
        weights_of(picture)
    assert raised.value.code == "mask_unclear"


def test_most_of_a_picture_may_be_marked_if_its_border_is_not() -> None:
    large = np.zeros((HEIGHT, WIDTH), np.uint8)
    large[4:-4, 4:-4] = 255
    assert np.array_equal(weights_of(Image.fromarray(large)), large)
