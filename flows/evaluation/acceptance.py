"""Judges whether a delivered picture would be accepted by a person who looks at it.

The judgement needs the clean picture, saved the same way as the delivered one. Each text is judged
in its own padded box by five figures, and the rest of the picture by one. No figure alone agrees
with the eye: the perceptual distance forgives stains on halftone and faint ghosts of letters, and
grey levels do not forgive a texture that differs from the true one and looks as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.metrics import legibility
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.visible_error import ERROR_SIGMA, flat_errors, smoothed_difference, stains
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box

PADDING = 16
"""Pixels around an edit that are compared with the truth too, as a viewer sees them with it."""

MOST_DISTANCE = 0.06
"""The largest accepted perceptual distance (shift-tolerant LPIPS) of a padded box."""

VISIBLE_DIFFERENCE = 5.0
"""Grey levels, smoothed over 1 pixel, from which a difference under a text is visible.

Characters that the recogniser reads where nothing differs more are of the clean picture, or of
its imagination.
"""

MOST_SIGNAL = 0.35
"""The largest accepted share of a text's own signal that is left; see `signal_left`."""

MOST_FLAT_ERROR = 7.0
"""The largest accepted smoothed error in grey levels where the clean picture is flat."""

MOST_STAIN = 25.0
"""The largest accepted difference in smoothed brightness, in grey levels."""

MOST_OUTSIDE = 20.0
"""The largest accepted smoothed change outside all padded boxes, in grey levels."""

LEGIBLE_ERROR = 2.0
"""The least `TextFigures.error` of a text of which a character can still be read."""

REFUSALS = ("distance", "characters", "signal", "flat_error", "stain", "outside", "touched")
"""The parts of the rule in the order in which they are checked.

The first five are about one text. `outside` is a change outside all texts' padded boxes, and
`touched` is any change to a picture without texts.
"""


@dataclass(frozen=True)
class TextFigures:
    """What is left to see of one text in a delivered picture, all 0 if it equals the clean one."""

    distance: float
    """Perceptual distance of the padded box to the clean one."""
    characters_left: int
    """Characters read under the polygon beyond those of the clean picture, where they differ
    visibly.
    """
    signal_left: float
    """Share of the text's own signal in the padded box; see `signal_left`."""
    flat_error: float
    """Largest smoothed error in grey levels where the clean picture is flat, doubled near black."""
    stain: float
    """Largest difference in brightness smoothed over STAIN_SIGMA, in grey levels."""

    @property
    def error(self) -> float:
        """How visible the worst figure is: 1 is the most that is accepted, 0 is nothing."""
        shares = (
            self.distance / MOST_DISTANCE,
            self.signal_left / MOST_SIGNAL,
            self.flat_error / MOST_FLAT_ERROR,
            self.stain / MOST_STAIN,
            LEGIBLE_ERROR if self.characters_left else 0.0,
        )
        return max(shares)

    @property
    def refusal(self) -> str | None:
        """The first part of the rule, of REFUSALS, that these figures break; None if they pass."""
        broken = {
            "distance": self.distance > MOST_DISTANCE,
            "characters": self.characters_left > 0,
            "signal": self.signal_left > MOST_SIGNAL,
            "flat_error": self.flat_error > MOST_FLAT_ERROR,
            "stain": self.stain > MOST_STAIN,
        }
        return next((part for part, is_broken in broken.items() if is_broken), None)

    @property
    def accepted(self) -> bool:
        """Whether the text passes all parts of the rule."""
        return self.refusal is None


@dataclass(frozen=True)
class Judgement:
    """The rule applied to a whole delivered picture."""

    texts: tuple[TextFigures, ...]
    outside: float
    """Largest smoothed change against the source outside all padded boxes, in grey levels."""
    refusal: str | None
    """The first broken part, of REFUSALS; None if the picture is accepted."""

    @property
    def accepted(self) -> bool:
        """Whether the picture passes the whole rule."""
        return self.refusal is None


def padded_box(polygon: Polygon, picture: Pixels) -> Box:
    """A text's bounding box with PADDING on each side, cut to the picture."""
    height, width = picture.shape[:2]
    return bounding_box([polygon], width, height).grown(PADDING, width, height)


def cut(picture: Pixels, box: Box) -> Pixels:
    """The part of a picture inside a box, contiguous."""
    return np.ascontiguousarray(picture[_place(box)])


def signal_left(delivered: Pixels, source: Pixels, clean: Pixels) -> float:
    """The share of a text's signal that is left, 0 if none or if there was none, 1 for all of it.

    It is the projection of the error, `delivered - clean`, on what the text added, `source -
    clean`, over all pixels and channels of pictures of one shape. An error that is unlike the
    text, such as a texture of the generator's own, projects to about 0, and a ghost of the
    letters at a quarter of their contrast to 0.25. Negative projections count as 0.
    """
    error, signal = (picture.astype(np.float64) - clean for picture in (delivered, source))
    energy = float((signal * signal).sum())
    return max(0.0, float((error * signal).sum()) / energy) if energy else 0.0


def judge_picture(delivered: Pixels, source: Pixels, clean: Pixels, texts: Sequence[Polygon]) -> Judgement:
    """Judge a delivered picture by the rule of this module.

    The pictures are uint8 height x width x 3 of one shape; ValueError if they are not. `clean` is
    saved the same way as `source`. A picture without texts is accepted only if no pixel changed;
    see `judge_untouched` for its bytes.
    """
    if not delivered.shape == source.shape == clean.shape:
        raise ValueError(f"{delivered.shape}, {source.shape} and {clean.shape} are not of one shape")
    if not texts:
        return judge_untouched(delivered.tobytes(), source.tobytes())
    figures = text_figures(delivered, source, clean, texts)
    outside = _outside_change(delivered, source, texts)
    refusal = next((text.refusal for text in figures if text.refusal), None)
    if refusal is None and outside > MOST_OUTSIDE:
        refusal = "outside"
    return Judgement(figures, outside, refusal)


def judge_untouched(delivered: bytes | memoryview, source: bytes | memoryview) -> Judgement:
    """Judge the delivered file of a picture without texts: its bytes must be the source's."""
    return Judgement((), 0.0, None if delivered == source else "touched")


def text_figures(delivered: Pixels, source: Pixels, clean: Pixels, texts: Sequence[Polygon]) -> tuple[TextFigures, ...]:
    """The figures of each text in pictures of one shape, see `judge_picture`."""
    visible = smoothed_difference(delivered, clean, 1.0) >= VISIBLE_DIFFERENCE
    errors_on_flat, all_stains = flat_errors(delivered, clean), stains(delivered, clean)
    result = []
    for polygon in texts:
        box = padded_box(polygon, clean)
        place = _place(box)
        here, before, truth = cut(delivered, box), cut(source, box), cut(clean, box)
        result.append(
            TextFigures(
                distance=perceptual_distance().distance(here, truth),
                characters_left=_characters_left(delivered, clean, polygon, visible[place], box),
                signal_left=signal_left(here, before, truth),
                flat_error=float(errors_on_flat[place].max()),
                stain=float(all_stains[place].max()),
            )
        )
    return tuple(result)


def _characters_left(delivered: Pixels, clean: Pixels, polygon: Polygon, visible: Selection, box: Box) -> int:
    if not (visible & (rasterised([polygon], box) > 0)).any():
        return 0
    read, expected = (legibility.characters_read(picture, polygon) for picture in (delivered, clean))
    return max(0, read - expected)


def _outside_change(delivered: Pixels, source: Pixels, texts: Sequence[Polygon]) -> float:
    change = smoothed_difference(delivered, source, ERROR_SIGMA)
    for polygon in texts:
        change[_place(padded_box(polygon, source))] = 0
    return float(change.max())


def _place(box: Box) -> tuple[slice, slice]:
    return slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
