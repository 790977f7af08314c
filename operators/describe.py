"""`describe`: what is in the image, and around each region?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import cv2
import numpy as np
import pyarrow as pa

from operators.decisions.routing import route
from operators.masks.mask import dilated, hole_of
from operators.metrics.surface import region_figures, smoothed_over, surface_figures, text_smoothed_over
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels, Selection
from operators.rows.records import JsonObject, ModelRecord
from operators.rows.regions import OPEN
from operators.rows.table import Additions, Region, Row, map_rows
from operators.vision.face_detector import face_detector, face_detector_identity
from operators.vision.image_encoder import SHIPPED, ImageEncoder, image_encoder, image_encoder_identity

FRAME_SIDE = 256
"""Longer side, in pixels, of a whole picture when it is described; smaller pictures are not
enlarged.
"""


@dataclass(frozen=True)
class Describe(Operator):
    """Describe the whole image and each region by an embedding and by measured figures.

    The figures are those of `surface.FIGURES`. The text is smoothed over before anything is
    measured, so this operator follows `soften`: only the masks say which pixels are text and
    which are the surface behind it. Faces are searched in the whole picture, because text over a
    face is judged more strictly. An image without regions passes at no cost. Routing, prompts,
    `verify` and the drift check read `metadata`. The ledger does not keep the regions' embeddings.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "width",
        "height",
        "regions.polygons",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("embedding", "metadata", "regions.embedding", "regions.metadata", "regions.route")
    encoder: str = SHIPPED
    """An alias, a folder or a hub id; see `image_encoder`."""
    limits: Limits = Limits()

    def models(self) -> list[ModelRecord]:
        """The image encoder and the face detector."""
        return [cast(ModelRecord, image_encoder_identity(self.encoder)), face_detector_identity()]

    def open(self) -> None:
        """Load the encoder and the face detector. Raises RunError encoder_unreadable."""
        image_encoder(self.encoder)
        face_detector()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Describe the images of one batch."""
        return map_rows(batch, self.name, self.adds, self._describe)

    def settings(self) -> JsonObject:
        """The fields, with the whole descriptor in place of the encoder's name."""
        return {**super().settings(), "encoder": image_encoder_identity(self.encoder)}

    def _describe(self, row: Row) -> Additions | None:
        regions = row.regions
        new = [region["state"] == OPEN and region["metadata"] is None for region in regions]
        if not any(new):
            return None
        encoder, longer_side = image_encoder(self.encoder), max(row["width"], row["height"])
        faces = face_detector().faces(FRAME_CACHE.picture(row, self.limits).rgb())
        embeddings, metadata, routes = ([region[name] for region in regions] for name in ("embedding", "metadata", "route"))
        for number, region in enumerate(regions):
            if new[number]:
                crop = text_smoothed_over(region.array("pixels", 3), region.array("mask", 4))
                on_crop = [face.seen_from(region.crop.x, region.crop.y) for face in faces]
                figures = region_figures(crop, region.array("mask", 4), region["polygons"], longer_side, on_crop)
                embeddings[number] = encoder.embedding(crop, encoder.descriptor.region_side)
                metadata[number], routes[number] = list(figures.items()), route(figures)
        described = {"regions.embedding": embeddings, "regions.metadata": metadata, "regions.route": routes}
        return described if row["metadata"] else {**described, **self._describe_picture(row, encoder, longer_side)}

    def _describe_picture(self, row: Row, encoder: ImageEncoder, longer_side: int) -> Additions:
        """The embedding and the figures of the whole picture without its texts."""
        picture = FRAME_CACHE.picture(row, self.limits)
        small, hole = _reduced(picture.rgb(), [region for region in row.regions if region["state"] == OPEN])
        surface = smoothed_over(small, hole)
        figures = {**surface_figures(surface, ~hole, hole), "mask_area": float(hole.mean()), "size": float(longer_side)}
        if picture.note:
            figures["profile_ignored"] = 1.0
        return {"embedding": encoder.embedding(surface, encoder.descriptor.side), "metadata": list(figures.items())}


def _reduced(frame: Pixels, regions: list[Region]) -> tuple[Pixels, Selection]:
    """The picture, reduced to FRAME_SIDE if it is larger, and which of its pixels text touches."""
    height, width = frame.shape[:2]
    factor = min(1.0, FRAME_SIDE / max(height, width))
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    touched = np.zeros((rows, columns), np.uint8)
    for region in regions:
        crop = region.crop
        hole = hole_of(region.array("mask", 4)) > 0
        down, across = (np.flatnonzero(hole) // crop.width + crop.y), (np.flatnonzero(hole) % crop.width + crop.x)
        touched[down * rows // height, across * columns // width] = 1
    small = frame if factor == 1 else cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
    return small, dilated(touched, 0 if factor == 1 else 1) > 0
