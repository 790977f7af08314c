"""From stroke probabilities to mask weights: what counts as a stroke, how it grows and fades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ground import TRACES, Ground
from operators.masks.ground_cache import GroundCache
from operators.masks.letter_parts import with_bodies, with_outline, with_soft_edges
from operators.masks.mask import dilated, feathered
from operators.masks.panel import beside_letters, panel_around
from operators.masks.traces import OUTERMOST, difference_from, with_shadow
from operators.rows.arrays import Pixels, Selection, largest_channel

Probability = npt.NDArray[np.float32]
StrokeSource = Literal["given", "found", "polygon"]
"""Where the strokes of a mask come from, as the row's `strokes` says."""
GIVEN: StrokeSource = "given"
"""The user's own mask: its weights are used unchanged."""
FOUND: StrokeSource = "found"
"""The strokes that the stroke network found inside the polygons."""
POLYGON: StrokeSource = "polygon"
"""The filled polygons, because the network could not separate strokes from the picture."""

LETTERS_CONTRAST = 90
"""The percentile of the strokes' differences from the ground that is the contrast of the letters;
the soft edges of thin letters are most of their strokes.
"""
MOST_OF_LETTERS = 0.5
"""How much a trace may differ from the ground, as a share of what the letters differ by."""
MOSTLY_KNOWN = 0.9
"""Share of the pixels around a place whose ground is known at least, so that traces are followed
there. Texture is calm in places too, and what differs there is the picture's.
"""
MUCH_NEARER = 4.0
"""How many times nearer to an edge of the page than to letters its own ringing lies. In between, a
lossy format mixes both.
"""
WAVE = 3
"""Pixels between two waves of ringing, where they cross the ground's level."""
BESIDE = 3
"""Pixels from the strokes within which a line runs along them."""
ALONG_LETTERS = 0.3
"""Share of a line's pixels that run along letters, above which it is a gap beside them."""
MOSTLY_GROUND = 0.8
"""Share of a line's pixels with the ground's colour, above which it is a gap and no line."""
ALL = 0.97
"""Share of a line's pixels that are faint and near letters, above which it may be ringing."""


@dataclass(frozen=True)
class StrokeMask:
    """How the strokes of one line of text become a mask."""

    least_probability: float = 0.6
    """Probability from which a pixel counts as touched by text."""
    dilation: float = 0.02
    """Growth of the strokes, as a share of their line's height."""
    least_dilation: int = 3
    """Smallest growth of the strokes, in pixels."""
    rim_probability: float = 0.4
    """Probability from which a pixel next to strokes belongs to their rim."""
    least_rim: int = 2
    """Smallest width of the rim in pixels; for tall letters it is `dilation`."""
    reach: int = 16
    """Pixels around the strokes in which faint traces of them are followed; JPEG's ringing
    reaches as far with subsampled colour. For tall letters it is 0.3 of the line's height.
    """
    most_at_reach: float = 0.1
    """Share of the outermost pixels of `reach` that traces may fill; objects fill more."""
    least_visible: float = 2.0
    """Grey levels by which a trace must differ from the ground at least."""
    certain: float = 0.5
    """Probability from which the paste-back has full weight. In the dilated rim of the strokes,
    where the probability is lower, the weight falls in proportion.
    """
    feather: int = 1
    """Pixels over which the paste-back fades outside a polygon that is replaced as a whole."""

    def touched(self, probability: Probability) -> Selection:
        """The pixels that text has touched, from their probabilities (0..1)."""
        return probability >= self.least_probability

    def grown(self, strokes: Pixels, height: float) -> Pixels:
        """The core of strokes (0 or 255) of a line `height` pixels high, grown over faint edges."""
        return dilated(strokes, max(self.least_dilation, round(self.dilation * height)))

    def rimmed(self, strokes: Pixels, height: float, probability: Probability) -> Pixels:
        """The strokes (0 or 255) of a line `height` pixels high with their soft rim.

        The rim is what text may have touched next to the strokes. Growth by a disc would take
        twice as many pixels of the picture, and a fill cannot give back their texture.
        """
        near = dilated(strokes, max(self.least_rim, round(self.dilation * height))) > 0
        return np.where((near & (probability >= self.rim_probability)) | (strokes > 0), 255, 0).astype(np.uint8)

    def traced(
        self, rgb: Pixels, strokes: Pixels, height: float, lines: Selection, probability: Probability | None = None
    ) -> tuple[Pixels, Pixels]:
        """The core of strokes (0 or 255), and the part of it that must be replaced in full.

        Letters leave faint traces around them: soft edges, glow, shadow, and the ringing of JPEG
        and WebP. Where the ground is known, the core follows these traces outwards from the
        strokes, to pixels that differ less from the ground than the letters do. Texture hides
        such traces, and a difference that does not fade within `reach` belongs to an object; in
        both cases the core is only the `rimmed` strokes, or the `grown` ones where no probability
        is given. The `lines` of the page stay out of the core; see `page_lines`. `rgb` is uint8
        height x width x 3.
        """
        strokes, grounds = with_bodies(rgb, strokes), GroundCache(rgb, 2 * self.reach)
        far = max(self.reach, round(0.3 * height))
        near = max(self.reach // 2, round(0.3 * height))
        panel = panel_around(rgb, np.where(lines, 0, strokes).astype(np.uint8))
        if panel is None:
            strokes = with_outline(rgb, strokes, height)
            strokes = with_shadow(grounds, strokes, height, lines, self.reach, self.least_visible)
        ground, known = self._ground(grounds, np.where(lines, 0, strokes).astype(np.uint8), panel, near)
        if panel is None:
            known &= cv2.blur(known.astype(np.float32), (2 * near + 1,) * 2) >= MOSTLY_KNOWN
        lines = _without_letters(lines, strokes, rgb, ground, self.reach)
        strokes = np.where(lines, 0, strokes).astype(np.uint8)
        core = grown = np.where(lines, 0, self.grown(strokes, height)).astype(np.uint8)
        if probability is not None:
            strokes = with_soft_edges(rgb, strokes, grown > 0)
            core = np.where(lines, 0, self.rimmed(strokes, height, probability)).astype(np.uint8)
        edges = lines if panel is None else lines | ~panel
        traced = self._traces(rgb, strokes, grown > 0, ground, known, edges, far) if known.any() else None
        if traced is None:
            return core, strokes
        followed = dilated(np.where(traced, 255, 0).astype(np.uint8), 1)
        full = np.where(lines | ~known, strokes, followed).astype(np.uint8)
        return np.where(known, full, core).astype(np.uint8), full

    def _ground(self, grounds: GroundCache, letters: Pixels, panel: Selection | None, near: int) -> tuple[Ground, Selection]:
        """The ground of letters, `near` pixels away or on their panel, and where it is known."""
        if panel is None:
            ground = grounds.around(letters, near).ground
            return ground, ground.known
        beside = beside_letters(panel, letters, self.least_dilation, near)
        ground = grounds.under(~panel | beside)
        return ground, ground.known & panel

    def _traces(
        self, rgb: Pixels, strokes: Pixels, grown: Selection, ground: Ground, known: Selection, edges: Selection, far: int
    ) -> Selection | None:
        """The strokes with their faint traces on known ground; None if an object is among them.

        What lies MUCH_NEARER to the `edges` of the page, its lines and the border of the panel,
        than to the strokes is their own ringing.
        """
        difference, visible = difference_from(ground, rgb, self.least_visible)
        contrast = float(np.percentile(difference[strokes > 0], LETTERS_CONTRAST)) if strokes.any() else 0.0
        faint = (difference < MOST_OF_LETTERS * contrast) & (_distance_to(strokes > 0) <= MUCH_NEARER * _distance_to(edges))
        allowed = known & ~edges & (difference > visible) & (grown | faint)
        allowed &= dilated(strokes, far) > 0
        traced = strokes > 0
        for _ in range(far):
            step = (dilated(traced.astype(np.uint8), WAVE) > 0) & allowed
            if not (step & ~traced).any():
                break
            traced |= step
        outermost = (dilated(strokes, self.reach) > 0) & (dilated(strokes, round(OUTERMOST * self.reach)) == 0) & known
        return None if outermost.any() and traced[outermost].mean() > self.most_at_reach else traced

    def certainty(self, probability: Probability) -> Pixels:
        """How strongly each pixel of found strokes is replaced, 0..255, from probabilities 0..1."""
        result: Pixels = np.rint(self.exact_certainty(probability)).astype(np.uint8)
        return result

    def exact_certainty(self, probability: Probability) -> Probability:
        """The same before it is rounded to bytes, float32."""
        exact: Probability = np.clip(probability / np.float32(self.certain), 0, 1) * 255
        return exact

    def weight(self, core: Pixels, certainty: Pixels, strokes: StrokeSource) -> Pixels:
        """The weights at paste-back of a core; all maps are uint8 height x width, 0..255.

        Found strokes fade within their core, because every pixel beyond it belongs to the
        picture. A polygon is replaced as a whole and fades outside.
        """
        return np.minimum(core, certainty) if strokes == FOUND else feathered(core, self.feather)


def _distance_to(places: Selection) -> npt.NDArray[np.float32]:
    """The distance of each pixel to the nearest of some places; beyond the picture without any."""
    if not places.any():
        return np.full(places.shape, float(sum(places.shape)), np.float32)
    return np.asarray(cv2.distanceTransform((~places).astype(np.uint8), cv2.DIST_L2, 3))


def _without_letters(lines: Selection, strokes: Pixels, rgb: Pixels, ground: Ground, reach: int) -> Selection:
    """The lines without those of about the ground's colour that run between or along letters.

    Of a line of the ground's colour elsewhere, the pixels of letters in it are left out. Rows of
    letters leave lines of their ringing in a lossy format; these differ little from the ground, end
    within `reach` pixels of letters, and do not lie beside a rule, which has ringing of its own.
    """
    apart = largest_channel(np.abs(rgb - ground.level))
    alike, faint = apart <= ground.step, apart <= TRACES
    count, labels = cv2.connectedComponents(lines.astype(np.uint8), connectivity=8)
    sizes = np.maximum(np.bincount(labels.ravel(), minlength=count), 1)

    def share(places: Selection) -> npt.NDArray[np.float64]:
        return np.bincount(labels.ravel(), weights=places.ravel(), minlength=count) / sizes

    plain, all_faint, beside = share(alike), share(faint) > ALL, share(dilated(strokes, BESIDE) > 0)
    rules = dilated((lines & ~all_faint[labels]).astype(np.uint8), BESIDE) > 0
    ringing = all_faint & (share(_distance_to(~faint & ~rules) <= reach) > ALL) & (share(rules) < 1 - MOSTLY_GROUND)
    gap = plain > MOSTLY_GROUND
    kept: Selection = lines & ~(gap[labels] & ~alike) & ~(gap & (beside > ALONG_LETTERS) | ringing)[labels]
    return kept
