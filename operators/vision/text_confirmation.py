"""Is a detection really text?

The detector takes leaves, fences and whole pictures for text now and then. A detection counts as
text only within bounds of size, and only if a rule confirms it. The rule weighs what the first
look, the detector and the line network say, the shape of the line, and what the recogniser reads
there. Characters read never count against a text, because the recogniser does not know every
script. It is therefore asked only where the networks are not sure by themselves. Where much of the
picture is at stake, it must have read something, unless the line network is very sure or the rule
is of a long line. Where little is at stake, less proof is asked. A long line of which the detector,
the first look and the line network are all sure needs no reading.

The rule is a logistic regression. `python -m benchmarks.text_confirmation --keep` learns its
weights from pictures whose texts are known and writes them to
`operators/vision/text_confirmation.json`.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from operators.masks.geometry import Polygon, straightened, stroke_height
from operators.rows.arrays import Pixels
from operators.vision.close_look import FoundText
from operators.vision.line_network import SQUARISH, line_network
from operators.vision.recogniser import Character, are_words, recogniser

PATH = Path(__file__).parent / "text_confirmation.json"
LETTERLIKE = "%&?!@#©®"
"""Characters that count as read although they are neither letters, digits nor currency signs."""
BANNER = 3
"""Ratio of sides from which a picture is a banner."""
MOST_READ = 5
"""Largest length of what is read of a line, in heights of the line."""

ALIKE = "0OoDQ□口日目"
"""Characters that windows, rings and the meshes of a fence are read as."""
LEAST_REPEATED, TALL_SHARE = 3, 0.75
"""How often such a character is repeated at least. Where the text would run up or down, other
characters may be read among them, up to the rest of the second value.
"""
ALIGNED, LEAST_ALIGNED = 0.3, 2
"""Heights of the line by which the rows, or the edges of the columns, of a table's cells differ at
most, and how many confirmed texts a number that repeats one digit must be aligned with.
"""
LONG = 6.0
"""Ratio of sides from which a line is long."""
LINE_SURE = 6.0
"""Logit of the line network, either way, beyond which it tells no more."""
LIKE_HEIGHT, NEAR = 1.4, 6.0
"""Largest ratio of the heights of two neighbours, and their largest distance in heights."""
NOT_CONFIRMED = "not_confirmed"
TOO_HIGH = "too_high"
TOO_LARGE = "too_large"
TOO_MUCH = "too_much"


@dataclass(frozen=True)
class Features:
    """What the rule knows of a detection."""

    detector: float
    """The detector's score, 0..1."""
    first_look: float
    """The mean probability of text at the first look, 0..1."""
    line: float
    """The logit of the line network, -LINE_SURE..LINE_SURE."""
    certainty: float
    """Mean probability of the characters read, 0..1; 0 if there are none."""
    letters: float
    """Logarithm of 1 plus the letters read, each counted with its probability squared."""
    aspect: float
    """Logarithm of the ratio of the rectangle's long side to its short one, at most that of 8."""
    height: float
    """Logarithm of the share of the picture's shorter side that the line is high, at least 0.01."""


@dataclass(frozen=True)
class Rule:
    """The learnt rule: what a detection scores, and from which score it is text."""

    weights: Mapping[str, float]
    """The weight of each of the `Features`."""
    bias: float
    threshold: float

    def __call__(self, features: Features) -> float:
        """The probability that a detection with these features is text, 0..1."""
        total = self.bias + sum(weight * getattr(features, name) for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-total))


@cache
def rule() -> Rule:
    """The learnt rule, read from text_confirmation.json once per process."""
    content = json.loads(PATH.read_text())
    return Rule(content["weights"], content["bias"], content["threshold"])


@dataclass(frozen=True)
class Verdict:
    """Whether a detection is text that may be erased."""

    reason: str | None
    """Why not: `not_confirmed`, `too_high`, `too_large` or `too_much`; None if it is confirmed."""
    score: float
    """The rule's score, 0..1; 0 for a detection out of bounds, which nobody looked at."""
    is_pattern: bool = False
    """Whether what is read is no text: signs alone, such as an arrow or a star, or one character
    again and again, as windows and railings are read.
    """
    read: tuple[Character, ...] | None = None
    """The characters that are read for certain in a squarish detection, upright, of which at most
    one is read: an icon is one sign. None for any other detection.
    """
    is_number: bool = False
    """Whether such a pattern is a digit again and again, such as 000, which a table may hold."""

    @property
    def confirmed(self) -> bool:
        """Whether the text may be erased."""
        return self.reason is None


@dataclass(frozen=True)
class Confirmation:
    """The bounds of a text's size; within them the learnt rule decides."""

    tallest_share: float = 0.6
    """Largest height of a line, as a share of the picture's shorter side, or of a third of the
    longer one if that is more: a banner has ground to the left and right of its line. What is
    higher is as a rule the subject of the picture, and too little ground is left to rebuild it
    from.
    """
    tallest: int = 1024
    """Largest height of a line, in pixels; no fill invents a hole this high credibly."""
    largest_area: float = 0.4
    """Largest share of the picture that one text covers. The detector sees lines, and a line that
    covers more of a picture is a motif.
    """
    most_area: float = 0.75
    """Largest share of the picture that all texts cover together. A picture that holds more is a
    page: with its text erased, nothing of it would be left.
    """
    sure_score: float = 0.8
    """Detector score from which a line of usual shape needs no reading."""
    sure_share: float = 0.1
    """Largest height of such a line, as a share of the picture's shorter side. It is at least
    SQUARISH times as long as high.
    """
    read_share: float = 0.2
    """Height of a line, as a share of the picture's shorter side, above which it must be read,
    however sure the detector is: the more is at stake, the surer the proof.
    """
    read_area: float = 0.05
    """The same for the share of the picture that one text covers."""
    proven_line: float = 4.0
    """Logit of the line network from which even such a text needs no reading: the recogniser does
    not know every script.
    """
    proven_score: float = 0.7
    """The rule's score from which such a text needs no reading if it is LONG and no higher than
    `read_share`.
    """
    agreed: tuple[float, float, float] = (0.7, 0.65, 8.0)
    """The detector's score, the first look's probability and the logit of the line network from
    which a LONG text no higher than `read_share` needs no reading, because all three networks are
    sure.
    """
    low_share: float = 0.12
    """Height of a line, as a share of the picture's shorter side, up to which little is at stake.
    """
    low_score: float = 0.12
    """The rule's score from which such a line is confirmed. It is at least SQUARISH times as long
    as high: windows and icons are not.
    """
    score_beside_text: float = 0.2
    """The rule's score from which a text is confirmed if it stands near a confirmed one whose
    letters are as high: the short numbers of a table, the last word of a caption. An icon beside
    words is no text; see `_may_belong`.
    """
    least_certainty: float = 0.7
    """Mean probability of the characters of such a line, 0..1; at least one is a letter."""
    least_different: int = 3
    """How many different characters a text in doubt has. Rows of windows and spots are read as rows
    of one character, and an icon as a single one.
    """

    def verdicts(self, rgb: Pixels, texts: Sequence[FoundText], width: int, height: int) -> list[Verdict]:
        """One verdict for each text that was found in a width x height picture.

        `rgb` is that picture, perhaps reduced.
        """
        verdicts = self._with_neighbours(rgb, texts, [self._verdict(rgb, text, width, height) for text in texts], width)
        confirmed = [text.polygon for text, verdict in zip(texts, verdicts, strict=True) if verdict.confirmed]
        if sum(map(_area, confirmed)) > self.most_area * width * height:
            return [replace(verdict, reason=TOO_MUCH) if verdict.confirmed else verdict for verdict in verdicts]
        return verdicts

    def _with_neighbours(
        self, rgb: Pixels, texts: Sequence[FoundText], verdicts: Sequence[Verdict], width: int
    ) -> list[Verdict]:
        """The verdicts, with less proof asked of a text near a confirmed one with like letters."""
        confirmed = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.confirmed]
        result = []
        for text, verdict in zip(texts, verdicts, strict=True):
            is_doubtful = verdict.reason == NOT_CONFIRMED and verdict.score >= self.score_beside_text
            in_table = verdict.is_number and sum(_are_aligned(text, other) for other in confirmed) >= LEAST_ALIGNED
            may_be_text = is_doubtful and not text.in_doubt and (in_table or not verdict.is_pattern)
            near = next((other for other in confirmed if may_be_text and _are_neighbours(text, other)), None)
            belongs = near is not None and self._may_belong(verdict, near, rgb, width)
            result.append(Verdict(None, verdict.score) if belongs else verdict)
        return result

    def _may_belong(self, verdict: Verdict, other: FoundText, rgb: Pixels, width: int) -> bool:
        """Whether a detection may be of the script of its neighbour: an icon beside words is not.

        Where the recogniser does not know that script, nobody can tell.
        """
        if verdict.read is None:
            return True
        words = next(readings(_line_of(rgb, other.polygon, width), squarish=False))
        return not are_words(words) or any(each.belongs_to(words) for each in verdict.read)

    def bound(self, polygon: Polygon, width: int, height: int) -> str | None:
        """The bound that a text exceeds in a width x height picture, as a reason; None within."""
        short = stroke_height(polygon)
        side = max(min(width, height), max(width, height) / BANNER)
        if short > self.tallest_share * side or short > self.tallest:
            return TOO_HIGH
        return TOO_LARGE if _area(polygon) > self.largest_area * width * height else None

    def must_be_read(self, polygon: Polygon, line_logit: float, width: int, height: int) -> bool:
        """Whether so much of a width x height picture is at stake that the text must be read.

        It need not be if the line network is surer than `proven_line`.
        """
        if line_logit >= self.proven_line:
            return False
        is_high = stroke_height(polygon) > self.read_share * min(width, height)
        return is_high or _area(polygon) > self.read_area * width * height

    def is_sure(self, score: float, ratio: float, share: float) -> bool:
        """Whether the detector alone is sure of a line; the sides are those of `features`."""
        return score >= self.sure_score and share <= self.sure_share and ratio >= SQUARISH

    def is_likely(self, score: float, ratio: float, share: float, must_be_read: bool) -> bool:
        """Whether a detection is text although its reading proves nothing.

        `score` is the rule's; the sides are those of `features`.
        """
        if must_be_read:
            return score >= self.proven_score and ratio >= LONG and share <= self.read_share
        return score >= self.low_score and share <= self.low_share and ratio >= SQUARISH

    def is_agreed(self, text: FoundText, line_logit: float, ratio: float, share: float) -> bool:
        """Whether all three networks are sure of a line; the sides are those of `features`."""
        score, likelihood, logit = self.agreed
        is_sure = text.score >= score and text.likelihood >= likelihood and line_logit >= logit
        return is_sure and ratio >= LONG and share <= self.read_share

    def _verdict(self, rgb: Pixels, text: FoundText, width: int, height: int) -> Verdict:
        polygon = text.polygon
        exceeded = self.bound(polygon, width, height)
        if exceeded is not None:
            return Verdict(exceeded, 0.0)
        (_, sides, _) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
        short, long = max(1.0, min(sides)), max(1.0, *sides)
        share = short / min(width, height)
        scale = rgb.shape[1] / width
        line_logit = line_network().logit_at(rgb, [[x * scale, y * scale] for x, y in polygon])
        ratio, must_read = long / short, text.in_doubt or self.must_be_read(polygon, line_logit, width, height)
        best = rule()(features(text, line_logit, [], ratio, share))
        if not must_read and (best >= rule().threshold or self.is_sure(text.score, ratio, share)):
            return Verdict(None, best)
        line = _line_of(rgb, polygon, width)
        is_tall = bool(np.ptp(np.asarray(polygon)[:, 1]) > np.ptp(np.asarray(polygon)[:, 0]))
        is_pattern, certain = False, None
        for turn, characters in enumerate(readings(line, ratio < SQUARISH)):
            seen = features(text, line_logit, characters, ratio, share)
            if repeats_one(characters, TALL_SHARE if is_tall else 1.0):
                is_number = all(each.text.isdigit() and each.probability >= self.least_certainty for each in characters)
                return Verdict(NOT_CONFIRMED, rule()(seen), is_pattern=True, is_number=is_number)
            if ratio < SQUARISH and len(characters) <= 1:
                if turn:
                    # Turned often enough, an icon is like one of thousands of Chinese characters.
                    continue
                is_pattern = bool(characters) and characters[0].is_sign
                certain = tuple(each for each in characters if each.probability >= self.least_certainty)
            best = max(best, rule()(seen))
            is_read = seen.letters > 0 and seen.certainty >= self.least_certainty
            if text.in_doubt and len({each.text for each in characters}) < self.least_different:
                continue
            if rule()(seen) >= rule().threshold and (is_read or not must_read):
                return Verdict(None, best)
        if not text.in_doubt and self.is_likely(best, ratio, share, must_read):
            return Verdict(None, best)
        if not is_pattern and self.is_agreed(text, line_logit, ratio, share):
            return Verdict(None, best)
        return Verdict(NOT_CONFIRMED, best, is_pattern, certain)


def _line_of(rgb: Pixels, polygon: Polygon, width: int) -> Pixels:
    """The straightened line of a polygon in a picture of this width; `rgb` may be reduced."""
    scale = rgb.shape[1] / width
    return straightened(rgb, [[x * scale, y * scale] for x, y in polygon])


def repeats_one(characters: Sequence[Character], share: float) -> bool:
    """Whether at least this share of what is read is one character, or ALIKE ones, and it is read
    LEAST_REPEATED times or more.
    """
    read = ["0" if each.text in ALIKE else each.text for each in characters if not each.text.isspace()]
    most = max(Counter(read).values(), default=0)
    return most >= LEAST_REPEATED and most >= share * len(read)


def _are_neighbours(text: FoundText, other: FoundText) -> bool:
    """Whether two texts stand near each other and have letters of like height."""
    heights = stroke_height(text.polygon), stroke_height(other.polygon)
    if max(heights) > LIKE_HEIGHT * min(heights):
        return False
    first, second = np.asarray(text.polygon), np.asarray(other.polygon)
    gap = np.maximum(first.min(axis=0) - second.max(axis=0), second.min(axis=0) - first.max(axis=0)).max()
    return bool(gap <= NEAR * max(heights))


def _are_aligned(text: FoundText, other: FoundText) -> bool:
    """Whether two neighbours stand in one row, or in one column of which they share an edge."""
    if not _are_neighbours(text, other):
        return False
    first, second = np.asarray(text.polygon), np.asarray(other.polygon)
    most = ALIGNED * stroke_height(text.polygon)
    left, right = (abs(edge(first[:, 0]) - edge(second[:, 0])) for edge in (np.min, np.max))
    return bool(min(abs(first[:, 1].mean() - second[:, 1].mean()), left, right) <= most)


def _area(polygon: Polygon) -> float:
    """The area of a polygon in pixels."""
    return float(cv2.contourArea(np.asarray(polygon, np.float32).reshape(-1, 2)))


def readings(line: Pixels, squarish: bool) -> Iterator[list[Character]]:
    """What the recogniser reads: the line upright, upside down and, if `squarish`, on its sides.

    Of a long line only the middle is read, because a few words are enough.
    """
    height, width = line.shape[:2]
    spare = max(0, width - MOST_READ * height) // 2
    part = line[:, spare : width - spare]
    for turns in (0, 2, 1, 3) if squarish else (0, 2):
        yield recogniser().characters(np.ascontiguousarray(np.rot90(part, turns)))


def features(text: FoundText, line_logit: float, characters: Sequence[Character], ratio: float, share: float) -> Features:
    """The features of a detection and of the characters read in it.

    `line_logit` is what the line network says of it, `ratio` is that of its rectangle's long side
    to the short one, and `share` the short side as a share of the picture's shorter side.
    """
    letters = sum(each.probability**2 for each in characters if _is_letter(each.text))
    certainty = sum(each.probability for each in characters) / max(1, len(characters))
    sides = math.log(min(ratio, 8)), math.log(max(share, 0.01))
    line = max(-LINE_SURE, min(LINE_SURE, line_logit))
    return Features(text.score, text.likelihood, line, certainty, math.log1p(letters), *sides)


def _is_letter(text: str) -> bool:
    """Whether a character is a letter, a digit, a currency sign or LETTERLIKE."""
    category = unicodedata.category(text[0])
    return category[0] in "LN" or category == "Sc" or text in LETTERLIKE
