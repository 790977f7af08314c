"""The text detector: a map of text probabilities, and polygons around the texts.

Model: PP-OCRv6 det small (PaddleOCR, Apache-2.0), the ONNX file that the `rapidocr` package
contains. Method: differentiable binarisation, Liao et al., "Real-time Scene Text Detection with
Differentiable Binarization", AAAI 2020. The post-processing of the map is rapidocr's.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError
from operators.rows.records import ModelRecord
from operators.rows.timing import timed
from operators.vision.detector_file import fetch_detector, preprocessing_of

PACKAGED = "pp-ocr-v6-small"
"""The alias of the packaged detector."""
MULTIPLE = 32
"""The network halves its input five times, so sides are padded to this multiple."""

MOST_ASPECT = 2
"""Longer side of a tile, as a multiple of the picture's shorter side."""
LEAST_TILE = 768
"""Shortest length of a tile in pixels."""
TEXT_THRESHOLD = 0.3
"""Probability above which a pixel of the detector's map counts as text."""
LEAST_CONTRAST = 6
"""Grey levels by which letters must differ from their background to be legible."""

Probability = npt.NDArray[np.float32]
"""The detector's map, 0..1, at the detector's resolution."""


def detector_path() -> Path:
    """The detector's weights inside the installed `rapidocr` package."""
    return Path(str(files("rapidocr"))) / "models" / "PP-OCRv6_det_small.onnx"


@dataclass(frozen=True)
class Scale:
    """The size of a picture when the detector sees it; the longer side has priority."""

    shortest: int = 736
    """Shortest permitted shorter side in pixels; smaller pictures are enlarged."""
    longest: int = 1536
    """Longest permitted longer side in pixels; larger pictures are reduced."""

    def factor(self, width: int, height: int) -> float:
        """The detector's pixels per pixel of a width x height picture.

        A picture that would have to be reduced, but is much longer than wide, is looked at in
        tiles; see `tile_length`.
        """
        shorter, longer = min(width, height), max(width, height)
        if longer <= self.longest:
            return min(max(1.0, self.shortest / shorter), self.longest / longer)
        return min(1.0, self.longest / min(longer, tile_length(shorter)))


def tile_length(shorter: int) -> int:
    """The length in pixels of the tiles of a picture with this shorter side."""
    return max(LEAST_TILE, MOST_ASPECT * shorter)


def local_contrast(rgb: Pixels) -> Pixels:
    """By how many levels the luma or a colour difference varies within 4 pixels of each pixel.

    Yellow letters on light grey differ in colour alone.
    """
    planes, kernel = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb), np.ones((9, 9), np.uint8)
    luma, red, blue = cv2.split(cv2.subtract(cv2.dilate(planes, kernel), cv2.erode(planes, kernel)))
    # NumPy's maximum over the last axis takes ten times as long.
    result: Pixels = cv2.max(cv2.max(luma, red), blue)
    return result


def has_contrast(rgb: Pixels) -> npt.NDArray[np.bool_]:
    """Where luma or colour varies by more than LEAST_CONTRAST. Nothing is legible elsewhere."""
    return local_contrast(rgb) > LEAST_CONTRAST


class TextDetector:
    """The detector's network and its post-processing.

    It runs on one thread, so the same pixels always give the same map.
    """

    def __init__(self, path: Path) -> None:
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        self._preprocessing = preprocessing_of(path)
        self._session = onnx_session(path)
        self._input = self._session.get_inputs()[0].name
        self._polygons = DBPostProcess(thresh=TEXT_THRESHOLD, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)

    def probability(self, rgb: Pixels, factor: float) -> Probability:
        """The text probability (0..1, float32) of an RGB picture, at `factor` times its size."""
        height, width = (max(1, round(side * factor)) for side in rgb.shape[:2])
        if (width, height) != rgb.shape[1::-1]:
            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        down, right = -height % MULTIPLE, -width % MULTIPLE
        padded = cv2.copyMakeBorder(rgb, 0, down, 0, right, cv2.BORDER_REPLICATE)
        values = np.empty((1, 3, *padded.shape[:2]), np.float32)
        # In place, because whole copies of this array would set the process's peak memory.
        for channel, place in enumerate(range(3) if self._preprocessing.order == "rgb" else (2, 1, 0)):
            mean, std = self._preprocessing.mean[channel], self._preprocessing.std[channel]
            np.divide(padded[:, :, place], 255 * std, out=values[0, channel], dtype=np.float32)
            values[0, channel] -= mean / std
        with timed("model"):
            result: Probability = self._session.run(None, {self._input: values})[0][0, 0]
        return result[:height, :width]

    def polygons(self, probability: Probability, width: int, height: int) -> tuple[list[list[list[float]]], list[float]]:
        """The polygons in a map, and their scores (0..1).

        Each polygon has four corners, in pixels of a width x height picture.
        """
        boxes, scores = self._polygons(probability[None, None], (height, width))
        return [[[float(x), float(y)] for x, y in box] for box in boxes], [float(score) for score in scores]


def text_detector(source: str = "") -> TextDetector:
    """The process's text detector: the packaged one, or that of a path or URL.

    Raises RunError as `fetch_detector` does.
    """
    path = fetch_detector(source) if source else detector_path()
    return load_once(source or PACKAGED, _checksum(path), "cpu", lambda: TextDetector(path))


def check_detector(source: str) -> None:
    """Raise RunError model_unavailable or model_invalid unless a file is a detector."""
    path = fetch_detector(source)
    preprocessing_of(path)
    try:
        seen = text_detector(source).probability(np.zeros((MULTIPLE, 2 * MULTIPLE, 3), np.uint8), 1.0)
    except Exception as error:  # ONNX Runtime raises classes of its own for whatever is wrong.
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RunError("model_invalid", f"{source} is no text detector in ONNX: {reason}") from error
    if seen.shape != (MULTIPLE, 2 * MULTIPLE) or not (seen.min() >= 0 and seen.max() <= 1):
        raise RunError("model_invalid", f"{source} returns no map of probabilities of its picture's size")


_checksums: dict[Path, str] = {}


def _checksum(path: Path) -> str:
    if path not in _checksums:
        _checksums[path] = file_sha256(path)
    return _checksums[path]


def text_detector_identity(source: str = "") -> ModelRecord:
    """What run.json records of the detector."""
    if source:
        return {"alias": source, "licence": "unknown", "sha256": _checksum(fetch_detector(source))}
    return {"alias": PACKAGED, "licence": "Apache-2.0", "sha256": _checksum(detector_path())}
