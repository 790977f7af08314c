"""Options that several commands share, in groups.

A group is a frozen dataclass whose fields are options. `with_options` expands the parameters of a
command that are annotated with a group, so every option is defined once and means the same in all
commands.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields, is_dataclass
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import typer

from flows.ladder import PRESETS
from operators.decisions.budget import USUAL_BUDGET
from operators.generators.call_account import USUAL_CALLS, CallLimits
from operators.generators.http_calls import KEY_VARIABLE
from operators.ledger.part import WHOLE, Part
from operators.pictures.codec import Limits
from operators.pictures.converted import TARGETS
from operators.pictures.previews.sweep import REDRAW
from operators.pictures.provenance import Signing
from operators.rows.failure import RunError
from operators.storage.intake import Intake
from operators.storage.names import given
from operators.storage.repack import KINDS

FILES = "files"
"""The value of --to that writes no collection."""
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        callback=given,
        help="Folder, picture, glob, or URL such as s3://bucket/prefix. Or a manifest (Parquet, CSV or JSON Lines) with a "
        "`uri` column. Or files that contain the images: Parquet and Arrow (FILE.parquet#column=NAME if several columns hold "
        "images), tar and zip archives, WebDataset shards; or a table: TABLE/_delta_log, TABLE/metadata/NAME.metadata.json of "
        "Iceberg, NAME.lance.",
    ),
]
Dest = Annotated[
    str,
    typer.Argument(
        metavar="DEST", callback=given, help="Folder or URL to write images/, ledger/, run.json and report.html to."
    ),
]
Preset = Annotated[str, typer.Option(help=f"How much work goes into each fill: {', '.join(PRESETS)}.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="One model to use instead of the preset: an alias from `cleanplate models list`, a folder or a URL; or "
        f"https://HOST/PATH#NAME for a model that is asked over HTTP, with its key in {KEY_VARIABLE}."
    ),
]
Detector = Annotated[
    str,
    typer.Option(
        help="Path or URL of a text detector to use instead of the packaged one: any DBNet as an ONNX file, "
        "with a YAML file beside it if it needs its channels in another order or scale."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the run. The seed of every region derives from it.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Process only the first N images of the listing.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder or URL from which the images of a manifest may be read, such as s3://bucket/photos. May be repeated. "
        "Without it, only the folder, bucket or host of the manifest itself."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of worker processes per pool, instead of the number in the profile.")
]
MaxCalls = Annotated[
    int | None,
    typer.Option(min=0, help=f"Most calls of the whole run to a model over HTTP; the default is {USUAL_CALLS}."),
]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="Most that these calls may cost together, in the currency of --call-cost.")
]
CallCost = Annotated[
    float | None, typer.Option(min=0, help="Price of a call to a model over HTTP, where the server does not say it.")
]
CallsPerMinute = Annotated[
    float | None, typer.Option(min=0.01, help="Most calls a minute from one machine to a model over HTTP.")
]
CallsAtOnce = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help=f"Most calls at a time from one machine to a model over HTTP; the default is {CallLimits.at_once}.",
    ),
]


@dataclass(frozen=True)
class CallOptions:
    """What calls to models over HTTP may cost."""

    heading: ClassVar[str] = "Models over HTTP"
    max_calls: MaxCalls = None
    max_cost: MaxCost = None
    call_cost: CallCost = None
    calls_per_minute: CallsPerMinute = None
    calls_at_once: CallsAtOnce = None

    def limits(self, outside: bool) -> CallLimits:
        """The limits of calls; `outside` says whether a model is asked over HTTP.

        A cost without a number of calls bounds them by cost alone. Raises RunError option_invalid.
        """
        if not outside and any(value is not None for value in astuple(self)):
            raise RunError("option_invalid", "options of calls need --model https://host/v1/images/edits#NAME")
        if self.max_cost is not None and not self.call_cost:
            raise RunError("option_invalid", "--max-cost needs --call-cost, the price of a call")
        most_calls = USUAL_CALLS if self.max_calls is None and self.max_cost is None else self.max_calls
        at_once = self.calls_at_once or CallLimits.at_once
        return CallLimits(most_calls, self.max_cost, self.call_cost or 0.0, self.calls_per_minute, at_once)


@dataclass(frozen=True)
class FillOptions:
    """Options for filling regions."""

    heading: ClassVar[str] = "Filling"
    preset: Preset = "balanced"
    model: Model = None
    prompt: Annotated[str, typer.Option(help="Description of what should replace the text, for models that take prompts.")] = ""
    budget_ms: Annotated[
        float | None,
        typer.Option(
            "--budget-ms",
            min=0,
            help="Most milliseconds that the fills of one image may take, estimated by rates that are measured before the run. "
            f"Without it, the limit is {USUAL_BUDGET.milliseconds:.0f}, estimated by rates that are the same on every "
            "machine. A model of your own then has no limit.",
        ),
    ] = None
    seed: Seed = 0
    max_calls: MaxCalls = None
    max_cost: MaxCost = None
    call_cost: CallCost = None
    calls_per_minute: CallsPerMinute = None
    calls_at_once: CallsAtOnce = None

    def calls(self, outside: bool) -> CallLimits:
        """The limits of calls; `outside` says whether the model is asked over HTTP.

        Raises RunError option_invalid.
        """
        if outside and self.budget_ms is not None:
            raise RunError("option_invalid", "--budget-ms bounds work on this machine: use --max-calls or --max-cost")
        given = (self.max_calls, self.max_cost, self.call_cost, self.calls_per_minute, self.calls_at_once)
        return CallOptions(*given).limits(outside)


@dataclass(frozen=True)
class RunOptions:
    """Options for distributing a run over machines and for the part of the source to process."""

    heading: ClassVar[str] = "The run"
    profile: Annotated[
        str, typer.Option("--profile", help="Resource profile: laptop, the name of a shipped profile, or a YAML file.")
    ] = "laptop"
    limit: Limit = None
    workers: Workers = None
    allow: Allow = None
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove what an earlier run left in DEST, pictures included, and start over.")
    ] = False
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Take only images whose name matches this pattern, such as '*.jpg'. A pattern with a / is compared with the "
            "relative path, such as 'summer/**'. May be repeated."
        ),
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out images that match this pattern, as for --include. May be repeated.")
    ] = None
    output_column: Annotated[
        str | None, typer.Option(help="Column of a manifest that names each image's path under DEST/images.")
    ] = None
    part: Annotated[
        str | None,
        typer.Option(
            help="Work only this part of the images, such as 3/16, while other commands work the others into the same DEST. "
            "`cleanplate report DEST` merges them."
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be done, and write nothing.")] = (
        False
    )
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print progress and summary as lines of JSON on standard output.")] = (
        False
    )

    @property
    def intake(self) -> Intake:
        """Which images of the source the run takes."""
        return Intake(tuple(self.include or ()), tuple(self.exclude or ()), self.output_column)

    @property
    def share(self) -> Part:
        """Which part of these images the run works. Raises RunError option_invalid."""
        part = WHOLE if self.part is None else Part.parse(self.part)
        if part != WHOLE and self.fresh:
            raise RunError("option_invalid", "--fresh starts all parts over: leave out --part, or use another DEST")
        return part


@dataclass(frozen=True)
class SizeOptions:
    """Limits above which images are not edited."""

    heading: ClassVar[str] = "Limits"
    max_pixels: Annotated[int, typer.Option(min=1, help="Deliver images with more pixels than this unedited.")] = (
        Limits.max_pixels
    )
    max_bytes: Annotated[int, typer.Option(min=1, help="Deliver files with more bytes than this unedited.")] = Limits.max_bytes
    max_scans: Annotated[int, typer.Option(min=1, help="Deliver JPEGs with more scans than this unedited.")] = Limits.max_scans
    max_metadata_bytes: Annotated[
        int, typer.Option(min=1, help="Do not deliver files whose metadata unpack to more bytes than this.")
    ] = Limits.max_metadata_bytes
    max_frames: Annotated[int, typer.Option(min=1, help="Deliver animations with more frames than this unedited.")] = (
        Limits.max_frames
    )
    max_directories: Annotated[
        int, typer.Option(min=1, help="Deliver TIFFs with more directories (pages) than this unedited.")
    ] = Limits.max_directories
    max_decode_seconds: Annotated[
        float, typer.Option(min=0.1, help="Deliver images that take longer than this to decode unedited.")
    ] = Limits.max_decode_seconds

    @property
    def limits(self) -> Limits:
        """The limits in the form that operators take."""
        return Limits(**asdict(self))


@dataclass(frozen=True)
class PageOptions(SizeOptions):
    """Limits above which images are not edited, and which pages of a file are worked."""

    pages: Annotated[
        str,
        typer.Option(
            help="Which pages of a TIFF and frames of an animation to edit: all, or first, which leaves the others as they "
            "are, with their text."
        ),
    ] = Limits.pages


@dataclass(frozen=True)
class SigningOptions:
    """The key that signs edited files."""

    heading: ClassVar[str] = "Edited files"
    c2pa_key: Annotated[
        str | None,
        typer.Option("--c2pa-key", help="Private key (PEM) to sign edited files with content credentials; needs --c2pa-cert."),
    ] = None
    c2pa_cert: Annotated[
        str | None,
        typer.Option("--c2pa-cert", help="Certificates of that key (PEM), the signer's first."),
    ] = None

    @property
    def signing(self) -> Signing | None:
        """The key and the certificates, None for neither. Raises RunError for only one of them."""
        if self.c2pa_key is None and self.c2pa_cert is None:
            return None
        if self.c2pa_key is None or self.c2pa_cert is None:
            raise RunError("option_invalid", "give both --c2pa-key and --c2pa-cert")
        return Signing(self.c2pa_key, self.c2pa_cert)


@dataclass(frozen=True)
class FormatOptions(SigningOptions):
    """The key that signs edited files, and their format."""

    to_format: Annotated[
        str | None,
        typer.Option(
            "--to-format",
            help=f"Deliver edited files in this format: {', '.join(TARGETS)}. Their names get its ending, so a.heic becomes "
            "a.heic.png. What was not edited is delivered as it is.",
        ),
    ] = None
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="What to deliver beside the files: files for nothing else; parquet, webdataset, arrow, delta or lance to "
            "write SOURCE again to DEST/collection, with the edited images in their places and where each is from.",
        ),
    ] = FILES

    @property
    def collection(self) -> str | None:
        """The kind of collection to write; None for files alone. Raises RunError option_invalid."""
        if self.to not in (FILES, *KINDS):
            raise RunError("option_invalid", f"--to {self.to}: choose from {', '.join((FILES, *KINDS))}")
        if self.to != FILES and self.to_format is not None:
            raise RunError("option_invalid", "--to-format changes the endings of names, which --to keeps: use one")
        return None if self.to == FILES else self.to


@dataclass(frozen=True)
class FileOptions(FormatOptions):
    """What becomes of edited files besides the edit."""

    previews: Annotated[
        str,
        typer.Option(
            help="What to do with previews, gain maps and other second pictures in an edited file. redraw: draw them again, "
            "and drop those for which that is impossible. drop: remove them all. keep: leave them, and the text in them."
        ),
    ] = REDRAW


def _under(group: Any, hint: Any) -> Any:
    """The annotation of an option, with the `heading` of its group in the help, if it has one.

    Each heading has columns of its own, so that no long option squeezes the others.
    """
    heading = getattr(group, "heading", None)
    if heading is None:
        return hint
    kind, option = get_args(hint)
    option = copy.copy(option)
    option.rich_help_panel = heading
    return Annotated[kind, option]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that each group in its signature becomes the options of that group.

    Typer reads the expanded signature. The command itself still receives one object per group.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(kind=keyword_only, annotation=hints[parameter.name]))
            continue
        field_hints = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, keyword_only, default=field.default, annotation=_under(group, field_hints[field.name])
            )
            for field in fields(group)
        ]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        objects = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)}) for name, group in groups.items()
        }
        command(**values, **objects)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    return expanded
