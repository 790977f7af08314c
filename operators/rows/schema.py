"""The row: the one Arrow schema that every operator reads and writes, complete from `fetch` on.

Columns are null until an operator fills them. The schema is checked after every operator, because
a distributed engine that concatenates blocks promotes drifting types silently.

What the stored types may lose:

- `polygons` are float32: exact for whole pixels up to 16,777,216, a rounding of at most 2^-24
  relative beyond.
- `probability` is the detector's map quantised to 1/255 and kept at the detector's own
  resolution; nothing is thresholded. After `detect` it holds whole cells of that map, the first
  being the one whose corner is nearest to the corner of `box`; cells and source pixels share only
  some edges, so the map may lie beside `box` by 1/16 cell, by more where no shared edge is near.
- `embedding` is float16: each value is off by at most 2^-11 of itself, the cosine of two
  embeddings by less than 0.001.
- `pixels` and `fill` are 8-bit sRGB, whatever the source's depth and colour space: colours beyond
  sRGB are clipped, and an edit of a deeper picture has 256 steps a channel, of sRGB or of its own
  profile's space, before it is blended in the source's depth. The source's own samples outside
  the mask are never rebuilt from them.
- `mask` weights are quantised to 1/255: a paste-back is off by at most 1/510 of the difference
  between fill and source.

`flows.audit.contracts` holds these losses as bounds, and those of the conversions on the way;
`cleanplate audit` measures them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

BOX = pa.struct([("x", pa.int32()), ("y", pa.int32()), ("width", pa.int32()), ("height", pa.int32())])
"""A rectangle in upright source pixels: left, top, width, height."""

POLYGON = pa.list_(pa.list_(pa.float32(), 2))
"""Corners (x, y) in upright source pixels, clockwise, pixel centres at whole numbers."""

PROBABILITY = pa.struct([("data", pa.large_binary()), ("width", pa.int32()), ("height", pa.int32()), ("box", BOX)])
"""uint8, height x width, 0..255 for 0..1, spanning `box`; at the detector's resolution or the
given mask's.
"""

FILL = pa.struct([("data", pa.large_binary()), ("width", pa.int32()), ("height", pa.int32())])
"""uint8 sRGB, height x width x 3, spanning the crop; may be smaller than the crop until it is
upscaled.
"""

CHECK = pa.struct(
    [("rung", pa.string()), ("name", pa.string()), ("value", pa.float32()), ("limit", pa.float32()), ("passed", pa.bool_())]
)
"""One measurement of one fill, beside the limit it was held to; NaN where the fill could not be
measured.
"""

REGION = pa.struct(
    [
        ("polygons", pa.list_(POLYGON)),
        ("score", pa.float32()),
        ("kind", pa.string()),
        ("probability", PROBABILITY),
        ("crop", BOX),
        ("pixels", pa.large_binary()),
        ("mask", pa.large_binary()),
        ("strokes", pa.string()),
        ("fill", FILL),
        ("rung", pa.string()),
        ("seed", pa.int64()),
        ("passes", pa.int32()),
        ("prompt", pa.string()),
        ("prompt_sha256", pa.string()),
        ("repeatable", pa.bool_()),
        ("enhanced", pa.bool_()),
        ("checks", pa.list_(CHECK)),
        ("state", pa.string()),
        ("route", pa.string()),
        ("embedding", pa.list_(pa.float16())),
        ("metadata", pa.map_(pa.string(), pa.float32())),
    ]
)
"""One context crop and what is to be erased in it: a single text after `detect`, a group of
neighbours after `soften`.

`kind` is `text` or `mask`; `strokes` says where the mask is from: `found` by the stroke network,
the `polygon` where no strokes could be told, or `given`; `prompt` is what the model was told,
null for those that take no words, its hash with the negative prompt's in `prompt_sha256`;
`repeatable` is false where another run may give other bytes; `state` is `open` or `accepted`;
`mask` is uint8, crop height x width x 4, its channels in the order of
`operators.masks.mask.CHANNELS`; `checks` holds every rung's measurements in the order they were
made.
"""

FAILURE = pa.struct([("operator", pa.string()), ("code", pa.string()), ("message", pa.string())])
"""Null while all is well; `code` is a key of `operators.rows.failure.CODES`."""

TIMING = pa.struct(
    [
        ("operator", pa.string()),
        ("total", pa.float32()),
        ("model", pa.float32()),
        ("codec", pa.float32()),
        ("io", pa.float32()),
    ]
)
"""Milliseconds an operator spent on this image, and how much of it in models, image codecs and
storage.
"""

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("path", pa.string()),
        ("shard", pa.int32()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("bytes", pa.large_binary()),
        ("source_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mode", pa.string()),
        ("embedding", pa.list_(pa.float16())),
        ("metadata", pa.map_(pa.string(), pa.float32())),
        ("regions", pa.list_(REGION)),
        ("encoded", pa.large_binary()),
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("failure", FAILURE),
        ("timings", pa.list_(TIMING)),
        ("output_uri", pa.string()),
        ("output_sha256", pa.string()),
    ]
)
"""Every column of the row; the user's own columns follow it unchanged.

`path` is where the image goes under the destination's `images/`; `shard` is the index shard it
came from; `width`, `height` are upright pixels; `mode` is the source's pixel format in Pillow's
naming, of its modes or, where it has none, its raw modes (`RGB;16`, `L;4`); `metadata` holds
figures of the image's surroundings, and `profile_ignored` where its colour profile is broken.
"""

INDEX_COLUMNS = ("image_id", "uri", "path", "shard", "size", "etag")
"""The columns that the index writes and `fetch` starts from."""

PIXEL_COLUMNS = ("bytes", "encoded")
PIXEL_CHILDREN = ("pixels", "mask", "fill", "probability", "embedding")
"""What the ledger leaves out: all that holds pixels, and the regions' embeddings (the picture's
own is kept).
"""


class SchemaError(TypeError):
    """An operator returned a table that is not a row table."""


def complete(index_rows: pa.Table) -> pa.Table:
    """Index rows with every missing column of the schema added as nulls; the user's own columns
    last.
    """
    columns = {
        field.name: index_rows[field.name].cast(field.type)
        if field.name in index_rows.column_names
        else pa.nulls(len(index_rows), field.type)
        for field in SCHEMA
    }
    own = {name: index_rows[name] for name in index_rows.column_names if name not in columns}
    return pa.table({**columns, **own})


_sound: pa.Schema = SCHEMA
"""The last schema that was found sound: comparing with it as a whole costs a hundredth of looking
at every column.
"""


def check_schema(table: pa.Table, producer: str) -> None:
    """Raise SchemaError, naming producer and column, unless `table` starts with exactly the
    columns of SCHEMA.
    """
    global _sound
    if table.schema.equals(_sound):
        return
    for position, field in enumerate(SCHEMA):
        if position >= len(table.schema.names) or table.schema.names[position] != field.name:
            raise SchemaError(f"{producer}: column {position} should be {field.name!r}")
        actual = table.schema.types[position]
        if actual != field.type:
            raise SchemaError(f"{producer}: column {field.name!r} is {actual}, should be {field.type}")
    _sound = table.schema


def column(path: str) -> bool:
    """Whether a dotted path such as `regions.mask` names a column of the row or a child of its
    regions.
    """
    name, _, child = path.partition(".")
    if name not in SCHEMA.names:
        return False
    return not child or (name == "regions" and REGION.get_field_index(child) >= 0)


LEDGER_REGION = pa.struct([field for field in REGION if field.name not in PIXEL_CHILDREN])
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("regions", pa.list_(LEDGER_REGION)) if field.name == "regions" else field
        for field in SCHEMA
        if field.name not in PIXEL_COLUMNS
    ]
)
"""What a ledger file holds, the user's own columns after it."""


def ledger_rows(table: pa.Table) -> pa.Table:
    """Row tables as the ledger keeps them: without `bytes`, `encoded` and the regions' pixel
    children.
    """
    regions = table["regions"].combine_chunks()
    regions = pa.concat_arrays(regions.chunks) if isinstance(regions, pa.ChunkedArray) else regions
    flat = regions.flatten()
    slim = pa.StructArray.from_arrays([flat.field(field.name) for field in LEDGER_REGION], fields=list(LEDGER_REGION))
    lengths = [length or 0 for length in regions.value_lengths().to_pylist()]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    nulls = regions.is_null() if regions.null_count else None
    kept = pa.ListArray.from_arrays(offsets, slim, type=LEDGER_SCHEMA.field("regions").type, mask=nulls)
    table = table.drop_columns(list(PIXEL_COLUMNS))
    return table.set_column(table.schema.names.index("regions"), "regions", kept)
