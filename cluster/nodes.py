"""What a cluster has room for: nodes with their resources and labels, and what of a process's
needs they can hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ROUNDING = 1e-6
GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Node:
    """One node, or several equal ones: resources by Ray's names (`CPU`, `GPU`, `memory` in
    bytes), and labels.
    """

    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    count: int = 1


def total(nodes: Iterable[Node], resource: str) -> float:
    """What all nodes together have of a resource."""
    return sum(node.count * node.resources.get(resource, 0.0) for node in nodes)


def fits(found: float, needed: float) -> bool:
    """Whether a sum of fractions fits, up to its rounding."""
    return needed <= found + ROUNDING


def matches(node: Node, wanted: Sequence[Mapping[str, str]]) -> bool:
    """Whether a node carries one of these sets of labels; any node does where none is wanted."""
    return not wanted or any(all(node.labels.get(key) == value for key, value in labels.items()) for labels in wanted)


def holds(node: Node, needs: Mapping[str, float]) -> float:
    """How many processes with these needs one node holds if it holds nothing else; whole, or
    infinity for no needs.
    """
    found = [math.inf]
    for resource, amount in needs.items():
        if amount:
            held = node.resources.get(resource, 0.0) / amount
            found.append(held if math.isinf(held) else math.floor(held + ROUNDING))
    return min(found)


def amount_text(resource: str, amount: float) -> str:
    """An amount of a resource as a message says it: memory in GiB."""
    return f"{amount / GIBIBYTE:.4g} GiB" if resource == "memory" else f"{amount:g}"
