"""The capacity of a cluster: nodes with their resources and labels, and what fits on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ROUNDING = 1e-6
"""Tolerance for sums of fractions of a resource."""
GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Node:
    """One node, or several equal ones."""

    resources: Mapping[str, float]
    """By Ray's names: `CPU`, `GPU`, and `memory` in bytes."""
    labels: Mapping[str, str] = field(default_factory=dict)
    count: int = 1


def total(nodes: Iterable[Node], resource: str) -> float:
    """The amount of a resource that all nodes have together."""
    return sum(node.count * node.resources.get(resource, 0.0) for node in nodes)


def fits(available: float, needed: float) -> bool:
    """Whether the needed amount, a sum of fractions, fits within rounding."""
    return needed <= available + ROUNDING


def matches(node: Node, label_sets: Sequence[Mapping[str, str]]) -> bool:
    """Whether a node carries all labels of one of these sets; without sets, any node matches."""
    if not label_sets:
        return True
    return any(all(node.labels.get(key) == value for key, value in labels.items()) for labels in label_sets)


def holds(node: Node, needs: Mapping[str, float]) -> float:
    """The number of processes with these needs that fit on one empty node.

    It is whole, or infinity for no needs.
    """
    counts = [math.inf]
    for resource, amount in needs.items():
        if amount:
            count = node.resources.get(resource, 0.0) / amount
            counts.append(count if math.isinf(count) else math.floor(count + ROUNDING))
    return min(counts)


def amount_text(resource: str, amount: float) -> str:
    """An amount of a resource for a message: memory in GiB, anything else as a number."""
    return f"{amount / GIBIBYTE:.4g} GiB" if resource == "memory" else f"{amount:g}"
