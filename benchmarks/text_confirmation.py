"""Learns when a detection is text, from pictures whose texts are known and pictures without text.

    python -m benchmarks.text_confirmation --clean FOLDER --fonts FOLDER [...] [--keep]

Half of the pictures choose the weights and the threshold: the set `tune` of each suite, and the
pictures without text whose name has an even checksum. The figures of the other half are only
reported. `--keep` writes the rule to `operators/vision/text_confirmation.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.find import Fonts, scenes
from benchmarks.no_harm import pictures
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.suite import load
from operators.masks.geometry import Polygon, covers, straightened
from operators.models.threads import use_one_thread
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject
from operators.vision.close_look import FoundText
from operators.vision.find_texts import find_texts
from operators.vision.first_look import View
from operators.vision.line_network import SQUARISH, line_network
from operators.vision.text_confirmation import PATH, Confirmation, Features, Rule, features, readings
from training.first_look_data import typefaces

RESULTS = Path(__file__).parent / "results" / "text_confirmation.json"
LEAST_SCORE = 0.5
"""The detector's score from which `detect` takes a polygon."""
KEPT_SHARE = 0.97
"""Share of the true texts within bounds that the threshold lets through at least."""
PENALTY = 2e-3
"""Weight of the squared coefficients, which keeps the regression finite where sets part cleanly."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One detection whose truth is known."""

    file: str
    set: str
    is_text: bool
    in_bounds: bool
    is_sure: bool
    """Whether it is confirmed without being read."""
    must_be_read: bool
    """Whether it is so large that it must be read."""
    ratio: float
    share: float
    """Its sides, as `features` has them."""
    readings: tuple[Features, ...]
    """The features of each reading of the text; the first entry is for no reading at all."""


def samples_in(file: Path, chosen: str, texts: Sequence[Polygon]) -> Iterator[Sample]:
    """The samples of one file."""
    return samples_of(np.array(open_image(file.read_bytes()).convert("RGB")), file.name, chosen, texts)


def drawn_samples(clean: Sequence[Path], fonts: Fonts, number: int) -> Iterator[Sample]:
    """The samples of texts in many scripts and styles, drawn on the pictures without text."""
    for chosen in ("tune", "report"):
        files = [file for file in clean if half(file) == chosen]
        for index, scene in enumerate(scenes(files, fonts, number, f"confirmation {chosen}")):
            if scene.texts:
                yield from samples_of(scene.picture, f"{chosen} {index}", chosen, [outline for outline, _, _ in scene.texts])


def samples_of(rgb: Pixels, name: str, chosen: str, texts: Sequence[Polygon]) -> Iterator[Sample]:
    """The detections of one picture; those that are neither clearly text nor clearly none are left
    out.
    """
    height, width = rgb.shape[:2]
    for found in find_texts(rgb, width, height, View().factor(width, height), LEAST_SCORE):
        hits = [text for text in texts if covers(found.polygon, text, 0.5) or covers(text, found.polygon, 0.5)]
        is_text = any(_area(found.polygon) < 4 * _area(text) for text in hits)
        if is_text or not texts:
            yield _sample(name, chosen, rgb, found, is_text)


def _area(polygon: Polygon) -> float:
    return float(cv2.contourArea(np.asarray(polygon, np.float32)))


def _sample(file: str, chosen: str, rgb: Pixels, found: FoundText, is_text: bool) -> Sample:
    height, width = rgb.shape[:2]
    (_, sides, _) = cv2.minAreaRect(np.asarray(found.polygon, np.float32))
    short, long = max(1.0, min(sides)), max(1.0, *sides)
    in_bounds = Confirmation().bound(found.polygon, width, height) is None
    line = straightened(rgb, found.polygon)
    texts = [[], *readings(line, long < SQUARISH * short)] if in_bounds else [[]]
    ratio, share = long / short, short / min(width, height)
    logit = line_network().logit_at(rgb, found.polygon)
    ways = tuple(features(found, logit, text, ratio, share) for text in texts)
    must_be_read = Confirmation().must_be_read(found.polygon, logit, width, height)
    is_sure = in_bounds and not must_be_read and Confirmation().is_sure(found.score, ratio, share)
    return Sample(file, chosen, is_text, in_bounds, is_sure, must_be_read, ratio, share, ways)


def half(file: Path) -> str:
    """The set of a picture without text, from the checksum of its name."""
    return "report" if int(hashlib.sha1(file.name.encode()).hexdigest(), 16) % 2 else "tune"


def learn(samples: Sequence[Sample]) -> Rule:
    """The rule that best parts texts from other detections, by logistic regression.

    Both kinds weigh the same, and so does every picture without text. The threshold is the
    highest one, in steps of 0.05, that still lets KEPT_SHARE of the texts through.
    """
    samples = [sample for sample in samples if sample.in_bounds]
    best = [max(sample.readings, key=lambda way: (way.letters, way.certainty)) for sample in samples]
    values = np.array([astuple(way) for way in best])
    is_text = np.array([sample.is_text for sample in samples])
    others = Counter(sample.file for sample in samples if not sample.is_text)
    weights = np.array([1 / is_text.sum() if s.is_text else 1 / others[s.file] / len(others) for s in samples])
    slopes, bias = _regress(values, is_text.astype(np.float64), weights * len(weights))
    names = [field.name for field in fields(Features)]
    rounded = {name: round(float(slope), 3) for name, slope in zip(names, slopes, strict=True)}
    rule = Rule(rounded, round(bias, 3), 0.0)
    scores = np.array([score(rule, sample) for sample in samples if sample.is_text])
    steps = np.arange(1, 20) / 20
    passing = [float(step) for step in steps if (scores >= step).mean() >= KEPT_SHARE]
    return Rule(rule.weights, rule.bias, max(passing, default=0.05))


def _regress(values: Array, truth: Array, weights: Array) -> tuple[Array, float]:
    """Logistic regression by Newton's method: the slopes and the bias."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    inputs = np.column_stack([(values - mean) / deviation, np.ones(len(values))])
    slopes, penalty = np.zeros(inputs.shape[1]), PENALTY * weights.sum()
    for _ in range(60):
        chance = 1 / (1 + np.exp(-inputs @ slopes))
        gradient = inputs.T @ (weights * (chance - truth)) + penalty * np.append(slopes[:-1], 0)
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + np.eye(len(slopes)) * penalty
        slopes -= np.linalg.solve(curvature, gradient)
    scaled = slopes[:-1] / deviation
    return scaled, float(slopes[-1] - (scaled * mean).sum())


def score(rule: Rule, sample: Sample) -> float:
    """The score of a detection: that of its best reading; 1 if it is sure, 0 out of bounds."""
    if not sample.in_bounds:
        return 0.0
    if sample.is_sure:
        return 1.0
    least = Confirmation().least_certainty if sample.must_be_read else -1.0
    ways = [way for way in sample.readings if way.certainty >= least and (way.letters > 0 or not sample.must_be_read)]
    return max((rule(way) for way in ways), default=0.0)


def is_confirmed(rule: Rule, sample: Sample) -> bool:
    """Whether a detection counts as text."""
    if score(rule, sample) >= rule.threshold:
        return True
    best = max(rule(way) for way in sample.readings)
    return sample.in_bounds and Confirmation().is_likely(best, sample.ratio, sample.share, sample.must_be_read)


def figures(rule: Rule, samples: Sequence[Sample]) -> JsonObject:
    """How a rule does on samples."""
    texts = [sample for sample in samples if sample.is_text]
    others = [sample for sample in samples if not sample.is_text]
    passed = [sample for sample in others if is_confirmed(rule, sample)]
    return {
        "texts": len(texts),
        "texts_within_bounds": sum(sample.in_bounds for sample in texts),
        "texts_confirmed": sum(is_confirmed(rule, sample) for sample in texts),
        "texts_sure_without_reading": sum(sample.is_sure for sample in texts),
        "others": len(others),
        "others_within_bounds": sum(sample.in_bounds for sample in others),
        "others_confirmed": len(passed),
        "pictures_with_others": len({sample.file for sample in others}),
        "pictures_with_others_confirmed": len({sample.file for sample in passed}),
    }


def main() -> None:
    """Measure, learn, print the figures and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True, help="folder of pictures without text")
    parser.add_argument("--suite", type=Path, nargs="*", default=[], help="suites; the default suite is always used")
    parser.add_argument("--fonts", type=Path, nargs="+", required=True, help="folders of typefaces in many scripts")
    parser.add_argument("--number", type=int, default=12, help="drawn scenes of each kind and set")
    parser.add_argument("--keep", action="store_true", help=f"write the rule to {PATH.name}")
    options = parser.parse_args()
    use_one_thread()
    suites = [default_suite(default_folder()), *map(load, options.suite)]
    clean = list(pictures(options.clean))
    samples = [
        *(
            sample
            for suite in suites
            for entry in suite.entries
            for sample in samples_in(suite.image(entry), entry.set, entry.texts)
        ),
        *(sample for file in clean for sample in samples_in(file, half(file), [])),
        *drawn_samples(clean, typefaces(options.fonts), options.number),
    ]
    rule = learn([sample for sample in samples if sample.set == "tune"])
    sets = {name: figures(rule, [sample for sample in samples if sample.set == name]) for name in ("tune", "report")}
    content = {"weights": rule.weights, "bias": rule.bias, "threshold": rule.threshold}
    lost = [f"{s.file} ({s.set}): {score(rule, s):.2f}" for s in samples if s.is_text and not is_confirmed(rule, s)]
    result = {"rule": content, "pictures_without_text": len(clean), "sets": sets, "lost": lost}
    print(json.dumps(result, indent=1))
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    if options.keep:
        PATH.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
