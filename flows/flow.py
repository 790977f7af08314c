"""A flow: operators in order, checked when it is built.

It runs in this process (`Flow.run`); `flows.engine` streams it over a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import pyarrow as pa

from cluster.nodes import Node
from cluster.profile import Profile
from cluster.stage_name import StageName
from operators.models.threads import use_one_thread
from operators.operator import Chain, Operator, Pipeline
from operators.rows.schema import INDEX_COLUMNS, complete_rows, is_column

FUSED_STAGE = "worker"
"""The only stage of a fused profile: each of its workers does everything."""


class FlowError(ValueError):
    """A flow whose operators do not fit together; the message names the operator and the column."""


@dataclass(frozen=True)
class Flow:
    """Operators in the order in which an image passes through them.

    Building one raises FlowError if an operator names a column that neither the row nor an
    operator up to it has, or reads a column that no operator before it adds.
    """

    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        known = set(INDEX_COLUMNS)
        own: set[str] = set()
        for operator in self.operators:
            if taken := [name for name in operator.columns if is_column(name) or "." in name]:
                raise FlowError(f"{operator.name}: the row has a column {taken[0]!r} already, or its name has a dot")
            own |= set(operator.columns)
            for path in (*operator.reads, *operator.adds):
                if not is_column(path) and path not in own:
                    raise FlowError(f"{operator.name}: there is no column {path!r} in the row")
            for path in operator.reads:
                if path not in known:
                    raise FlowError(f"{operator.name} reads {path!r}, which no operator before it adds")
            known |= set(operator.adds)

    def then(self, *operators: Operator) -> Flow:
        """This flow followed by more operators. Raises FlowError."""
        return Flow((*self.operators, *operators))

    @property
    def ends(self) -> bool:
        """Whether an operator of the flow commits rows to the ledger by itself."""
        return any(operator.ends for operator in self.operators)

    def run(self, table: pa.Table) -> pa.Table:
        """Process a table of index rows (or complete rows) in this process, image by image."""
        chain = Chain(self.operators)
        use_one_thread()
        chain.open()
        return chain.apply(complete_rows(table))

    def members(self, profile: Profile) -> dict[str, list[str]]:
        """The operators of each stage, by the name under which the profile knows the stage.

        A stage runs as one pool or one kind of task. A fused profile has a single stage. In a
        staged profile, neighbouring operators with the same settings share a stage, named after the
        first of them, so that rows travel only where other resources are needed. An operator that
        occurs twice has two numbered names. Raises ProfileError for an operator without a stage in
        the profile.
        """
        names = [str(name) for name in StageName.number_all([operator.name for operator in self.operators])]
        if profile.placement == "fused":
            return {FUSED_STAGE: names} if names else {}
        stages = [list(same) for _, same in groupby(names, key=profile.stage)]
        return {stage[0]: stage for stage in stages}

    def stages(self, profile: Profile) -> list[tuple[str, Operator]]:
        """The operator of each stage, with the stage's name. Raises ProfileError as `members` does.

        Of several operators in one stage, the phases are the storage operators, those that tell
        twins, and a chain of the operators between two of them.
        """
        operators = iter(self.operators)
        return [(name, _as_one(list(islice(operators, len(own))))) for name, own in self.members(profile).items()]

    def lay_out(self, profile: Profile) -> tuple[Profile, list[str]]:
        """The profile with one stage per stage of this flow, and the names of these stages.

        Raises ProfileError as `members` does.
        """
        names = list(self.members(profile))
        stages = {name: profile.stage(name) for name in names}
        return profile.model_copy(update={"stages": stages}), names

    def demand(self, profile: Profile) -> dict[str, float]:
        """CPUs, GPUs and bytes of memory that this flow needs at once. Raises ProfileError."""
        laid_out, names = self.lay_out(profile)
        return laid_out.demand(names)

    def refusal(self, profile: Profile, nodes: Sequence[Node]) -> str | None:
        """Why this flow cannot run on these nodes under the profile; None if it can.

        Raises ProfileError for an operator without a stage in the profile.
        """
        laid_out, names = self.lay_out(profile)
        return laid_out.refusal(names, nodes)


def _as_one(operators: Sequence[Operator]) -> Operator:
    """Operators as one that runs in a single process."""
    if len(operators) == 1:
        return operators[0]
    parts: list[Operator] = []
    for apart, same in groupby(operators, key=lambda operator: operator.storage or operator.tells_twins is not None):
        neighbours = tuple(same)
        parts += neighbours if apart else [Chain(neighbours)]
    return Pipeline(tuple(parts))
