"""The record that a region starts from."""

import numpy as np

from operators.rows.box import Box
from operators.rows.regions import new_region


def test_a_new_region_holds_its_map_and_nothing_from_later_operators():
    region = new_region([[[0.0, 0.0]]], 0.5, "text", np.array([[1, 2, 3]], np.uint8), Box(4, 5, 6, 7))
    assert region["probability"] == {
        "data": b"\x01\x02\x03",
        "width": 3,
        "height": 1,
        "box": {"x": 4, "y": 5, "width": 6, "height": 7},
    }
    assert set(region) == {"polygons", "score", "kind", "origin", "probability", "state", "reason"}


def test_a_new_region_is_open_or_kept_for_a_reason():
    cells = np.zeros((1, 1), np.uint8)
    corners = [[[0.0, 0.0]]]
    found = new_region(corners, 0.5, "text", cells, Box(0, 0, 1, 1))
    doubted = new_region(corners, 0.5, "text", cells, Box(0, 0, 1, 1), "not_confirmed")
    assert (found["state"], found["reason"]) == ("open", None)
    assert (doubted["state"], doubted["reason"]) == ("kept", "not_confirmed")
