"""The base class of operators: settings as frozen fields, a map from row table to row table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar

import pyarrow as pa

from operators.rows.deadline import deadline
from operators.rows.records import JsonObject, ModelRecord
from operators.rows.schema import add_columns, check_schema


@dataclass(frozen=True)
class Operator(ABC):
    """One step of the pipeline.

    The fields are its settings. `reads` and `adds` are dotted column paths (`regions.mask`); a
    flow checks them when it is built. `open` runs once per process, `apply` once per batch. A row
    whose `failure` is set passes through unchanged.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, pa.DataType]] = {}
    """Columns of the operator's own, with their types.

    They follow the columns of the schema, null until the operator fills them, and reach the
    ledger. Name them in `adds` as well.
    """
    storage: ClassVar[bool] = False
    """Whether the operator mostly waits for storage, and so overlaps with those that compute."""
    ends: ClassVar[bool] = False
    """Whether the operator commits rows to the ledger, and so ends a run."""
    tells_twins: ClassVar[str | None] = None
    """The column with the hash by which it tells images that may share a result, or None.

    After such an operator, the first of these images goes on, and the others wait for its result.
    """
    by_content: ClassVar[bool] = False
    """Whether what it does follows from the image's bytes and the settings alone.

    A class says so for itself, not for the classes that derive from it.
    """

    @property
    def name(self) -> str:
        """The operator's name in timings, failures, profiles and messages."""
        return type(self).__name__.lower()

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The operators that this one consists of: itself, or the members of a chain."""
        return (self,)

    @property
    def phases(self) -> tuple[Operator, ...]:
        """The parts through which a whole batch passes one after the other; see `Pipeline`."""
        return (self,)

    def check(self) -> None:  # noqa: B027
        """Raise the RunError that `open` would raise, without loading weights.

        The default checks nothing.
        """

    def check_images(self, paths: Callable[[], Iterable[str]]) -> None:  # noqa: B027
        """Raise RunError if no image of a run has what the operator needs, such as a mask.

        `paths` lists the relative paths of the first images when it is called. The default checks
        nothing.
        """

    def models(self) -> list[ModelRecord]:
        """The models that this operator uses, as run.json records them; none by default."""
        return []

    def beyond_bytes(self, path: str, own: Mapping[str, Any]) -> str | None:
        """What the result for an image depends on besides its bytes and the settings.

        Images of equal bytes share one result if every operator returns the same value for them.
        The default is nothing for an operator `by_content`, and otherwise None: no image is shared.
        If an operator returns None for one image, it returns None for all of them. `path` is the
        image's path in the row, and `own` are the user's columns.
        """
        return "" if vars(type(self)).get("by_content") else None

    def open(self) -> None:  # noqa: B027
        """Load what the operator needs, once per process; nothing by default."""

    @abstractmethod
    def apply(self, batch: pa.Table) -> pa.Table:
        """Process one batch; the result has the same rows in the same order."""

    def settings(self) -> JsonObject:
        """The fields that can change the delivered images.

        run.json records them, and they distinguish two runs.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("threads", "dest")}
        plain = {name: asdict(value) if is_dataclass(value) else value for name, value in values.items()}  # type: ignore[arg-type]
        return {"operator": self.name, **plain}


@dataclass(frozen=True)
class Composite(Operator):
    """Several operators as one."""

    operators: tuple[Operator, ...] = ()

    @property
    def name(self) -> str:
        """The names of the members, joined by `+`."""
        return "+".join(operator.name for operator in self.operators)

    def open(self) -> None:
        """Open every member."""
        for operator in self.operators:
            operator.open()


@dataclass(frozen=True)
class Chain(Composite):
    """Several operators as one: each image goes through all of them before the next one starts.

    This keeps the pixels of only one image in memory and lets all operators share one decoded
    frame.
    """

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The members of the chain."""
        return self.operators

    def apply(self, batch: pa.Table) -> pa.Table:
        """Process the rows one by one, and check the schema after every member."""
        done = []
        for position in range(len(batch)):
            row = batch.slice(position, 1)
            for operator in self.operators:
                with deadline(operator.name):
                    row = operator.apply(add_columns(row, operator.columns, operator.name))
                check_schema(row, operator.name)
            done.append(row)
        return pa.concat_tables(done) if done else batch


@dataclass(frozen=True)
class Pipeline(Composite):
    """Several operators as one: the whole batch goes through each before the next one starts.

    Storage operators so read and write several images at a time. A worker may have several
    batches in different phases, as long as only one of them is in a phase that computes.
    """

    @property
    def phases(self) -> tuple[Operator, ...]:
        """The members of the pipeline."""
        return self.operators

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The members, and those of the chains among them."""
        return tuple(step for operator in self.operators for step in operator.steps)

    def apply(self, batch: pa.Table) -> pa.Table:
        """Process the whole batch member by member, and check the schema after each."""
        for operator in self.operators:
            batch = operator.apply(add_columns(batch, operator.columns, operator.name))
            check_schema(batch, operator.name)
        return batch
