"""What an operator is: settings as frozen fields, and a map from row table to row table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import ClassVar

import pyarrow as pa

from operators.rows.deadline import deadline
from operators.rows.records import (
    JsonObject,
    ModelRecord,
)
from operators.rows.schema import check_schema


@dataclass(frozen=True)
class Operator(ABC):
    """One step of the pipeline.

    Fields are its settings. `reads` and `adds` are dotted column paths (`regions.mask`); a flow
    checks them when it is built. `open` runs once per process, `apply` for every batch. A row
    whose `failure` is set passes through untouched.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[tuple[str, ...]] = ()
    storage: ClassVar[bool] = False
    """Whether it mostly waits for storage, so that it overlaps with the operators that compute.
    """

    @property
    def name(self) -> str:
        """What timings, failures, profiles and messages call this operator."""
        return type(self).__name__.lower()

    @property
    def steps(self) -> tuple[Operator, ...]:
        """The operators that this one consists of: itself, or the operators of a chain."""
        return (self,)

    def check(self) -> None:  # noqa: B027
        """Raise the RunError that `open` would raise, without loading weights. Checks nothing by
        default.
        """

    def models(self) -> list[ModelRecord]:
        """What run.json records of the models that this operator uses: alias, licence and
        checksums. None by default.
        """
        return []

    def open(self) -> None:  # noqa: B027
        """Load what the operator needs, once per process. Nothing by default."""

    @abstractmethod
    def apply(self, batch: pa.Table) -> pa.Table:
        """Work one batch of rows; the result has the same rows in the same order."""

    def settings(self) -> JsonObject:
        """The fields that can change what is delivered, for run.json and for telling two runs
        apart.
        """
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("threads", "dest")}
        plain = {name: asdict(value) if is_dataclass(value) else value for name, value in own.items()}  # type: ignore[arg-type]
        return {"operator": self.name, **plain}


@dataclass(frozen=True)
class Chain(Operator):
    """Several operators as one: each image goes through all of them before the next one starts.

    That keeps one image's pixels in memory at a time and lets all operators share one decoded
    frame.
    """

    operators: tuple[Operator, ...] = ()

    @property
    def steps(self) -> tuple[Operator, ...]:
        """Its operators."""
        return self.operators

    @property
    def name(self) -> str:
        """The names of its operators, joined."""
        return "+".join(operator.name for operator in self.operators)

    def open(self) -> None:
        """Open every operator."""
        for operator in self.operators:
            operator.open()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Work the rows one by one, checking the schema after every operator."""
        done = []
        for position in range(len(batch)):
            row = batch.slice(position, 1)
            for operator in self.operators:
                with deadline(operator.name):
                    row = operator.apply(row)
                check_schema(row, operator.name)
            done.append(row)
        return pa.concat_tables(done) if done else batch
