"""The options that several commands share, in groups.

A group is a frozen dataclass whose fields are options. `with_options` gives a command the options
of the groups that its parameters name, so that an option is written once and means the same
everywhere.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from flows.ladder import PRESETS
from operators.pictures.codec import Limits

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder, glob or fsspec URL such as s3://bucket/prefix. Or a manifest: Parquet, CSV or JSON lines with a `uri` "
        "column. Or Parquet files with the images inside (FILE.parquet#column=NAME if several columns hold images).",
    ),
]
Dest = Annotated[
    str, typer.Argument(metavar="DEST", help="Folder or URL that receives images/, ledger/, run.json and report.html.")
]
Preset = Annotated[str, typer.Option(help=f"The ladder of fills: {', '.join(PRESETS)}.")]
Model = Annotated[
    str | None,
    typer.Option(help="One model in place of the preset's ladder: an alias of `cleanplate models list`, a folder or a URL."),
]
Seed = Annotated[int, typer.Option(help="The seed of the run. The seed of every region follows from it.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Work only the first N images of the listing.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes per pool, in place of the profile's number.")]


@dataclass(frozen=True)
class FillOptions:
    """How regions are filled."""

    preset: Preset = "balanced"
    model: Model = None
    prompt: Annotated[str, typer.Option(help="Describe what should be behind the text, for models that read prompts.")] = ""
    budget_ms: Annotated[
        float | None,
        typer.Option("--budget-ms", min=0, help="Milliseconds that the fills of one image may cost, as predicted."),
    ] = None
    seed: Seed = 0


@dataclass(frozen=True)
class RunOptions:
    """How a run is laid over machines, and how much of the source it works."""

    profile: Annotated[
        str, typer.Option("--profile", help="Resource profile: laptop, the name of a shipped one, or a YAML file.")
    ] = "laptop"
    limit: Limit = None
    workers: Workers = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run into DEST and start over.")] = False


@dataclass(frozen=True)
class SizeOptions:
    """Which sources are too large to be edited."""

    max_pixels: Annotated[int, typer.Option(min=1, help="Deliver images with more pixels unedited.")] = Limits.max_pixels
    max_bytes: Annotated[int, typer.Option(min=1, help="Deliver files with more bytes unedited.")] = Limits.max_bytes

    @property
    def limits(self) -> Limits:
        """The limits as operators take them."""
        return Limits(self.max_pixels, self.max_bytes)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters that are annotated with a group of options become the options of
    that group.

    The command still receives one object for each group. Typer reads the expanded signature.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    annotations: dict[str, Any] = {}
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            annotations[parameter.name] = hints[parameter.name]
            continue
        field_hints = get_type_hints(group, include_extras=True)
        for field in fields(group):
            kind, hint = inspect.Parameter.KEYWORD_ONLY, field_hints[field.name]
            parameters.append(inspect.Parameter(field.name, kind, default=field.default, annotation=hint))
            annotations[field.name] = hint

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        objects = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)}) for name, group in groups.items()
        }
        command(**values, **objects)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    expanded.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    expanded.__annotations__ = {**annotations, "return": None}
    return expanded
