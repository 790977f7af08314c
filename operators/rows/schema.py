"""The row: the one Arrow schema that every operator reads and writes, complete from `fetch` on.

Columns are null until an operator fills them. The schema is checked after every operator, because
a distributed engine that concatenates blocks silently promotes types that differ.

The stored types can lose this much:

- `polygons` are float32: exact for whole pixels up to 16,777,216; beyond that, the relative
  rounding error is at most 2^-24.
- `probability` is the detector's map, turned upright, quantised to 1/255 and without a
  threshold. Each of its cells covers the same whole number of source pixels a side.
- `overlay` is float16: the relative error of an alpha or a colour is at most 2^-11, which changes
  what is seen below an overlay of alpha 0.5 by less than a quarter of a grey level.
- `embedding` is float16: the relative error of each value is at most 2^-11, and the error of the
  cosine of two embeddings is less than 0.001.
- `pixels` and `fill` are 8-bit sRGB, whatever the source's depth and colour space. Colours
  outside sRGB are clipped. An edit of a deeper picture has 256 steps per channel, in sRGB or in
  the space of the picture's profile, before it is blended at the source's depth. Source samples
  outside the mask are never rebuilt from `pixels` or `fill`.
- `mask` weights are quantised to 1/255: the error of a paste-back is at most 1/510 of the
  difference between fill and source.

`flows.audit.contracts` states these losses, and those of the conversions in between, as bounds;
`cleanplate audit` measures them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

BOX = pa.struct([("x", pa.int32()), ("y", pa.int32()), ("width", pa.int32()), ("height", pa.int32())])
"""A rectangle in upright source pixels: left, top, width, height."""

POLYGON = pa.list_(pa.list_(pa.float32(), 2))
"""Corners (x, y) in upright source pixels, clockwise, pixel centres at whole numbers."""

PROBABILITY = pa.struct([("data", pa.large_binary()), ("width", pa.int32()), ("height", pa.int32()), ("box", BOX)])
"""uint8, height x width, 0..255 for 0..1, spanning `box`.

The resolution is that of the detector or of the given mask.
"""

FILL = pa.struct([("data", pa.large_binary()), ("width", pa.int32()), ("height", pa.int32())])
"""uint8 sRGB, height x width x 3, spanning the crop; it may be smaller until it is upscaled."""

TRANSPARENCY = pa.struct([("alpha", pa.large_binary()), ("ground", pa.int32())])
"""The alpha of a crop, uint8 height x width, and the grey level (0..255) of the ground.

The crop's pixels and its fill are seen on this ground.
"""

OVERLAY = pa.struct([("alpha", pa.large_binary()), ("colour", pa.large_binary()), ("box", BOX)])
"""A known translucent mark, which spans `box`: I = (1 - alpha) J + alpha colour.

`alpha` is float16 height x width, 0..1. `colour` is float16 sRGB, 0..255: height x width x 3, or
three values for a mark of one colour.
"""

CHECK = pa.struct(
    [("rung", pa.string()), ("name", pa.string()), ("value", pa.float32()), ("limit", pa.float32()), ("passed", pa.bool_())]
)
"""One measurement of a fill, with its limit; the value is NaN if the fill cannot be measured."""

BEST_FILL = pa.struct(
    [
        ("fill", FILL),
        ("mask", pa.large_binary()),
        ("rung", pa.string()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),
        ("prompt_sha256", pa.string()),
        ("repeatable", pa.bool_()),
        ("enhanced", pa.bool_()),
        ("first_check", pa.int32()),
        ("end_check", pa.int32()),
    ]
)
"""The best of the fills that were refused, with the children of the region that belong to it.

Its checks are those of the region from `first_check` to before `end_check`.
"""

REGION = pa.struct(
    [
        ("polygons", pa.list_(POLYGON)),
        ("score", pa.float32()),
        ("kind", pa.string()),
        ("origin", pa.string()),
        ("text", pa.string()),
        ("text_confidence", pa.float32()),
        ("probability", PROBABILITY),
        ("crop", BOX),
        ("pixels", pa.large_binary()),
        ("mask", pa.large_binary()),
        ("transparency", TRANSPARENCY),
        ("strokes", pa.string()),
        ("mark", pa.string()),
        ("opacity", pa.float32()),
        ("overlay", OVERLAY),
        ("fill", FILL),
        ("rung", pa.string()),
        ("seed", pa.int64()),
        ("passes", pa.int32()),
        ("prompt", pa.string()),
        ("prompt_sha256", pa.string()),
        ("repeatable", pa.bool_()),
        ("enhanced", pa.bool_()),
        ("checks", pa.list_(CHECK)),
        ("best", BEST_FILL),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("rule", pa.string()),
        ("route", pa.string()),
        ("embedding", pa.list_(pa.float16())),
        ("metadata", pa.map_(pa.string(), pa.float32())),
    ]
)
"""One text or mask to erase, and the context crop around it.

Every region is filled and judged alone, even where the crops of neighbours overlap.

- `kind` is `text`, `mask` for a given mask, or `mark` for a known mark.
- `origin` is the operator that found the region, or the file or column that gave it.
- `text` is what the recogniser reads there, and `text_confidence` the mean probability of its
  characters, 0..1; both are null unless `read` is part of the flow, or a rule of `select` needs
  them.
- `strokes` names the origin of the mask: `found` by the stroke network, `polygon` where it could
  not tell strokes apart, or `given` by the user's mask or mark.
- `mark` names the known mark, and `opacity` is the largest alpha with which it lies there, 0..1;
  `overlay` is its alpha and colour for each pixel. All three are null for other regions.
- `prompt` is the model's prompt, null for models that take none; `prompt_sha256` is the hash of
  the prompt and the negative prompt.
- `repeatable` is false where another run may give other bytes.
- `state` is `open` while no fill is good enough, `accepted` once one is, or `kept` for what was
  found but is not to be erased. `compose` ends it: `accepted` becomes `erased` if the picture
  shows the fill, and `open` becomes `refused`.
- `reason` says why a region was refused or kept; it is null for an erased one. While a region is
  open, it names the errors of its fills, which `compose` copies to the row's `reasons`.
- `rule` is the rule or option of the user that decided whether the region goes or stays; null
  unless `select` is part of the flow. What a rule keeps is protected from its neighbours' edits.
- A region that was kept before `soften` has no crop, no pixels and no mask.
- `mask` is uint8, crop height x width x 4, with channels in the order of
  `operators.masks.mask.CHANNELS`.
- `transparency` is null for a crop that is opaque.
- `checks` holds the measurements of every rung in the order in which they were made. If an
  earlier fill than the last one is delivered, its checks are moved to the end.
- `best` is the best refused fill so far, where one is delivered in the end; null elsewhere.
"""

TEXTS = pa.struct([(name, pa.int32()) for name in ("found", "erased", "kept", "refused")])
"""How many texts of an image were found, and how many ended in each state of a region."""

FAILURE = pa.struct([("operator", pa.string()), ("code", pa.string()), ("message", pa.string())])
"""Why the row could not be processed, null otherwise.

`code` is a key of `operators.rows.failure.CODES`.
"""

TIMING = pa.struct(
    [
        ("operator", pa.string()),
        ("total", pa.float32()),
        ("model", pa.float32()),
        ("codec", pa.float32()),
        ("io", pa.float32()),
    ]
)
"""Milliseconds that an operator spent on the image.

`total` includes the time in models (`model`), image codecs (`codec`) and storage (`io`).
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
        ("pixels_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mode", pa.string()),
        ("embedding", pa.list_(pa.float16())),
        ("metadata", pa.map_(pa.string(), pa.float32())),
        ("regions", pa.list_(REGION)),
        ("encoded", pa.large_binary()),
        ("verdict", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("notes", pa.list_(pa.string())),
        ("texts", TEXTS),
        ("failure", FAILURE),
        ("timings", pa.list_(TIMING)),
        ("output_uri", pa.string()),
        ("output_sha256", pa.string()),
        ("twin_of", pa.string()),
    ]
)
"""Every column of the row; the user's columns follow unchanged.

- `path` is the image's path under `images/` of the destination.
- `shard` is the number of its index shard.
- `width` and `height` are upright pixels.
- `mode` is the source's pixel format as Pillow names its modes or, for formats without a mode,
  its raw modes (`RGB;16`, `L;4`).
- `notes` say what was done to a file besides the edit: `preview_dropped: PLACE` for a
  second picture that was removed, `c2pa_removed`, `c2pa_signed`, `recoded: FIGURES` for a lossy
  file that was coded again as a whole (how far samples outside of the edit are from the source's),
  `not_kept: THING` for what a format does not write again, `converted: FORMAT to FORMAT`,
  `not_converted: NUMBER pictures` for a file of several that keeps its format, and
  `zone_outside: ZONE` for a zone of the user's rules that holds no pixel of the picture. The name
  before the colon is stable.
- `pixels_sha256` is the same for pictures whose pixels and the meaning of their pixels are the
  same; null unless `identify` is part of the flow.
- `twin_of` is the id of the image of the same bytes, or the same pixels, whose result was delivered
  for this one; null for an image that was worked.
- `metadata` holds figures of the image's surroundings, and `profile_ignored` if its colour
  profile is broken.
"""

INDEX_COLUMNS = ("image_id", "uri", "path", "shard", "size", "etag")
"""The columns that the index writes and `fetch` starts from."""

INDEX_SCHEMA = pa.schema([SCHEMA.field(name) for name in INDEX_COLUMNS])
"""The schema of index rows; the user's columns follow."""

PIXEL_COLUMNS = ("bytes", "encoded")
"""The columns that hold pixels; the ledger omits them."""

PIXEL_CHILDREN = ("pixels", "mask", "transparency", "overlay", "fill", "best", "probability", "embedding")
"""The region children that the ledger omits: those that hold pixels, and the embedding.

The ledger keeps the embedding of the whole picture.
"""


class SchemaError(TypeError):
    """The error for an operator that returned a table other than a row table."""


def complete_rows(index_rows: pa.Table) -> pa.Table:
    """Index rows with every missing column of SCHEMA added as nulls, the user's columns last."""
    columns = {
        field.name: index_rows[field.name].cast(field.type)
        if field.name in index_rows.column_names
        else pa.nulls(len(index_rows), field.type)
        for field in SCHEMA
    }
    own = {name: index_rows[name] for name in index_rows.column_names if name not in columns}
    return pa.table({**columns, **own})


def add_columns(rows: pa.Table, columns: Mapping[str, pa.DataType], producer: str) -> pa.Table:
    """The rows with the columns of an operator's own, null where they are new.

    Raises SchemaError if the rows have a column of that name and another type.
    """
    for name, kind in columns.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(len(rows), kind))
        elif rows.schema.field(name).type != kind:
            raise SchemaError(f"{producer}: column {name!r} is {rows.schema.field(name).type} already, not {kind}")
    return rows


_last_valid_schema: pa.Schema = SCHEMA
"""The last schema that passed the check.

Comparing a whole schema with it costs a hundredth of checking every column.
"""


def check_schema(table: pa.Table, producer: str) -> None:
    """Raise SchemaError unless `table` starts with exactly the columns of SCHEMA.

    The error names the producer and the column.
    """
    global _last_valid_schema
    if table.schema.equals(_last_valid_schema):
        return
    for position, field in enumerate(SCHEMA):
        if position >= len(table.schema.names) or table.schema.names[position] != field.name:
            raise SchemaError(f"{producer}: column {position} should be {field.name!r}")
        actual = table.schema.types[position]
        if actual != field.type:
            raise SchemaError(f"{producer}: column {field.name!r} is {actual}, should be {field.type}")
    _last_valid_schema = table.schema


def is_column(path: str) -> bool:
    """Whether a dotted path such as `regions.mask` names a column or a child of the regions."""
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
"""The schema of ledger files; the user's columns follow."""


def ledger_rows(table: pa.Table) -> pa.Table:
    """A row table without PIXEL_COLUMNS and without the PIXEL_CHILDREN of the regions."""
    regions = table["regions"].combine_chunks()
    regions = pa.concat_arrays(regions.chunks) if isinstance(regions, pa.ChunkedArray) else regions
    flat = regions.flatten()
    structs = pa.StructArray.from_arrays([flat.field(field.name) for field in LEDGER_REGION], fields=list(LEDGER_REGION))
    lengths = [length or 0 for length in regions.value_lengths().to_pylist()]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    nulls = regions.is_null() if regions.null_count else None
    slim = pa.ListArray.from_arrays(offsets, structs, type=LEDGER_SCHEMA.field("regions").type, mask=nulls)
    table = table.drop_columns(list(PIXEL_COLUMNS))
    return table.set_column(table.schema.names.index("regions"), "regions", slim)
