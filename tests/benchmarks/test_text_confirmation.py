"""The learnt rule parts texts from other detections, and takes the highest threshold it can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.text_confirmation import KEPT_SHARE, Sample, figures, half, is_confirmed, learn, score
from operators.rows.box import Box
from operators.vision.close_look import FoundText
from operators.vision.recogniser import Character
from operators.vision.text_confirmation import Rule, features


def samples(count: int = 200) -> list[Sample]:
    """Words that are read, and others at which one unsure letter is."""
    random = np.random.default_rng(4)
    result = []
    for number in range(2 * count):
        is_text = number % 2 == 0
        letters = [Character("a", float(random.uniform(0.7, 1)), 0.5)] * 6 if is_text else [Character("x", 0.3, 0.5)]
        detector = float(random.normal(0.78 if is_text else 0.62, 0.06))
        likelihood = float(random.uniform(0.5, 0.9) if is_text else random.uniform(0.2, 0.6))
        text = FoundText([[0.0, 0.0]], detector, np.zeros((1, 1), np.float32), Box(0, 0, 1, 1), likelihood)
        logit = float(random.normal(1 if is_text else -1, 2))
        ways = (features(text, logit, [], 3.0, 0.08), features(text, logit, letters, 3.0, 0.08))
        result.append(
            Sample(
                f"{number}.jpg", "tune", is_text, True, is_sure=False, must_be_read=False, ratio=3.0, share=0.15, readings=ways
            )
        )
    return result


def test_the_rule_parts_what_is_read_from_what_is_not() -> None:
    found = figures(learn(samples()), samples())
    assert found["texts_confirmed"] >= KEPT_SHARE * 200
    assert found["others_confirmed"] <= 4


def test_a_detection_scores_by_its_best_reading_within_bounds_only() -> None:
    rule, (sample, *_) = learn(samples()), samples()
    assert score(rule, sample) == rule(sample.readings[1]) > rule(sample.readings[0])
    outside, sure = replace(sample, in_bounds=False), replace(sample, is_sure=True)
    assert (score(rule, outside), score(rule, sure)) == (0.0, 1.0)


def test_a_low_line_is_confirmed_from_a_lower_score_on() -> None:
    rule, (sample, *_) = Rule({}, -1.5, 0.25), samples()
    assert 0.12 < score(rule, sample) < 0.25
    assert not is_confirmed(rule, sample)
    assert is_confirmed(rule, replace(sample, share=0.1))
    assert not is_confirmed(rule, replace(sample, share=0.1, in_bounds=False))


def test_a_picture_stays_in_its_half_wherever_it_lies() -> None:
    assert half(Path("a/leaf.jpg")) == half(Path("b/leaf.jpg"))
    assert {half(Path(f"{number}.jpg")) for number in range(20)} == {"tune", "report"}
