"""Draws collections of pictures that carry translucent marks, with the truth beside them.

The pictures are parts of the photographs in the folders that the caller names. Nothing depends on
a particular one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from operators.marks.mark import Mark
from operators.marks.rendering import Pose, rendered
from operators.masks.overlay import overlaid
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.overlay import Overlay

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LEAST_SIDE = 350
"""Shorter side in pixels of a photograph that parts are taken from."""
LEAST_DETAIL = 6.0
"""Standard deviation in grey levels of a part; a plain one says nothing."""
SIZES = ((400, 300), (480, 360), (360, 400), (600, 400))


@dataclass(frozen=True, eq=False)
class Stamped:
    """A picture with a mark, and what is below."""

    picture: Pixels
    below: Pixels
    overlay: Overlay
    """The mark as it lies on the whole picture."""
    mark: str


def photographs(folders: Sequence[Path], chosen_set: str = "tune") -> list[Path]:
    """The photographs of one set that are large enough, those packaged with scikit-image too.

    Every second one, in the order of their names, belongs to the set `report`, the others to
    `tune`.
    """
    from skimage import data

    own = Path(data.__file__).parent
    files = [file for folder in [*folders, own] for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    chosen = []
    for file in files:
        try:
            with Image.open(file) as picture:
                large = min(picture.size) >= LEAST_SIDE and picture.mode == "RGB"
        except (OSError, Image.DecompressionBombError):
            continue
        if large:
            chosen.append(file)
    return chosen[chosen_set == "report" :: 2]


@lru_cache(maxsize=4)
def _decoded(file: Path) -> Pixels:
    with Image.open(file) as picture:
        picture.draft("RGB", (2400, 2400))
        rgb = np.asarray(picture.convert("RGB"))
    factor = min(1.0, 2400 / max(rgb.shape[:2]))
    return rgb if factor == 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def parts(files: Sequence[Path], count: int, seed: int, sizes: Sequence[tuple[int, int]] = SIZES[:1]) -> Iterator[Pixels]:
    """Parts of the photographs, every photograph in turn, at random places, sizes and flips."""
    random = np.random.default_rng(seed)
    order: list[Path] = []
    made = 0
    per_file = max(1, -(-count // len(files)))
    order = [files[number] for number in random.permutation(len(files))]
    for file in order * 3:
        rgb = _decoded(file)
        for _ in range(per_file):
            width, height = sizes[made % len(sizes)]
            least = max(width / rgb.shape[1], height / rgb.shape[0])
            if least > 1.2:
                break
            factor = float(random.uniform(least, max(least, 1.0)))
            across, down = int(width / factor), int(height / factor)
            x, y = int(random.integers(0, rgb.shape[1] - across + 1)), int(random.integers(0, rgb.shape[0] - down + 1))
            part = cv2.resize(rgb[y : y + down, x : x + across], (width, height), interpolation=cv2.INTER_AREA)
            part = part[:, ::-1] if random.random() < 0.5 else part
            if part.std() < LEAST_DETAIL:
                continue
            yield np.ascontiguousarray(part)
            made += 1
            if made == count:
                return


def text_mark(
    text: str, size: int, colour: tuple[int, int, int], opacity: float, turn: float = 0.0, shadow: bool = False
) -> Mark:
    """A line of text as a mark, turned by some degrees, with a soft dark shadow if asked for."""
    import font_roboto

    font = ImageFont.truetype(font_roboto.RobotoBold, size)
    left, top, right, bottom = (int(value) for value in font.getbbox(text))
    margin = size // 2
    letters = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin))
    ImageDraw.Draw(letters).text((margin - left, margin - top), text, 255, font)
    letters = letters.rotate(turn, Image.Resampling.BICUBIC, expand=True) if turn else letters
    alpha = np.asarray(letters, np.float32) / 255 * opacity
    below = np.zeros_like(alpha)
    if shadow:
        soft = np.asarray(letters.filter(ImageFilter.GaussianBlur(size / 16)), np.float32) / 255
        below = np.roll(soft, (size // 20 + 1, size // 20 + 1), (0, 1)) * opacity * 0.6
    total = alpha + below * (1 - alpha)
    share = (alpha / np.maximum(total, 1e-6))[:, :, None]
    return _named(text, total, share * np.array(colour, np.float32))


def badge_mark(size: int, opacity: float) -> Mark:
    """A logo of two colours: an orange ring around a blue triangle."""
    large = 4 * size
    ring, triangle = Image.new("L", (large, large)), Image.new("L", (large, large))
    ImageDraw.Draw(ring).ellipse((8, 8, large - 8, large - 8), outline=255, width=large // 10)
    corners = [(large * 0.5, large * 0.25), (large * 0.74, large * 0.68), (large * 0.26, large * 0.68)]
    ImageDraw.Draw(triangle).polygon(corners, fill=255)
    first, second = (np.asarray(one.resize((size, size), Image.Resampling.BOX), np.float32) / 255 for one in (ring, triangle))
    colour = np.where((first > 0)[:, :, None], np.float32([240, 120, 20]), np.float32([30, 70, 220]))
    return _named("badge", np.maximum(first, second) * opacity, colour)


def _named(name: str, alpha: np.ndarray, colour: np.ndarray) -> Mark:
    used = alpha > 1 / 255
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha = np.where(used, alpha, 0)[part].astype(np.float32)
    # As a file keeps it: 8 bits.
    return Mark(name, np.rint(alpha * 255).astype(np.float32) / 255, np.rint(colour[part]).astype(np.float32))


def stamp(below: Pixels, mark: Mark, poses: Sequence[Pose], quality: int | None = None, strength: float = 1.0) -> Stamped:
    """The picture with the mark at every pose, as PNG keeps it or as JPEG of a quality."""
    frame = Box(0, 0, below.shape[1], below.shape[0])
    alpha = np.zeros(below.shape[:2], np.float32)
    colour = np.zeros((*below.shape[:2], 3), np.float32)
    for pose in poses:
        one = rendered(mark, pose, frame, strength)
        colour[one.alpha > alpha] = one.colour[one.alpha > alpha]
        alpha = np.maximum(alpha, one.alpha)
    overlay = Overlay(alpha, colour)
    picture = np.clip(np.rint(overlaid(below, overlay)), 0, 255).astype(np.uint8)
    if quality is not None:
        data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
    return Stamped(picture, below, overlay, mark.name)


def corner_pose(mark: Mark, picture: tuple[int, int], corner: str, offset: tuple[int, int], scale: float = 1.0) -> Pose:
    """The pose of a mark some pixels away from a corner (`top left`), or from the `centre`."""
    (width, height), (rows, columns) = picture, mark.alpha.shape
    across, down = (columns - 1) * scale / 2, (rows - 1) * scale / 2
    if corner == "centre":
        return Pose(width // 2 + offset[0] + (across % 1), height // 2 + offset[1] + (down % 1), scale)
    x = offset[0] + across if "left" in corner else width - 1 - offset[0] - across
    y = offset[1] + down if "top" in corner else height - 1 - offset[1] - down
    return Pose(x, y, scale)


def tiled_poses(mark: Mark, picture: tuple[int, int], gap: tuple[int, int], start: tuple[int, int] = (0, 0)) -> list[Pose]:
    """The poses of a mark that is repeated over the whole picture, every second row moved."""
    (width, height), (rows, columns) = picture, mark.alpha.shape
    across, down = columns + gap[0], rows + gap[1]
    poses = []
    for row in range(-1, height // down + 2):
        first = start[0] + (across // 2 if row % 2 else 0)
        for column in range(-1, width // across + 2):
            poses.append(Pose(first + column * across + (columns - 1) / 2, start[1] + row * down + (rows - 1) / 2))
    return poses
