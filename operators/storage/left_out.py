"""What a listing saw under SOURCE and did not take as an image, counted by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

NOT_PICTURE, HIDDEN, EARLIER_RUN, OUTSIDE, LOOP, LINKED_AGAIN, BROKEN, UNREADABLE, SPECIAL, DAMAGED, UNSAFE, TOO_MANY = (
    "not_pictures",
    "hidden",
    "earlier_runs",
    "outside_links",
    "link_loops",
    "linked_again",
    "broken_links",
    "unreadable",
    "special_files",
    "damaged_archives",
    "unsafe_members",
    "too_many_members",
)
REASONS: dict[str, str] = {
    NOT_PICTURE: "not pictures",
    HIDDEN: "in hidden or system folders",
    EARLIER_RUN: "folders of earlier runs",
    OUTSIDE: "links that lead outside SOURCE",
    LOOP: "links that lead back to their own folder",
    LINKED_AGAIN: "links to a folder that another link led to",
    BROKEN: "links that lead nowhere",
    UNREADABLE: "unreadable files or folders",
    SPECIAL: "pipes, sockets or devices",
    DAMAGED: "archives that are damaged from some place on",
    UNSAFE: "members of archives whose names leave the folder or occur twice",
    TOO_MANY: "archives with too many members, of which the rest",
}
"""Every reason, in the order in which counts are shown, with its words."""

MOST_DETAILS = 30
"""Different details per reason; what exceeds them is counted as `other`."""
MOST_EXAMPLES = 5
"""Paths that are kept per reason."""


@dataclass
class LeftOut:
    """Counts of what a listing left out.

    Files are counted, of a folder that cannot be entered or is an earlier run's the folder, of a
    link to a folder the link.
    """

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By reason and detail: the ending of what is no picture, the name of what is hidden."""
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The first paths by reason, relative to SOURCE."""

    def add(self, reason: str, path: str, detail: str = "", count: int = 1) -> None:
        """Count a file, folder or link that is left out."""
        details = self.counts[reason]
        if detail not in details and len(details) >= MOST_DETAILS:
            detail = "other"
        details[detail] += count
        if len(self.examples[reason]) < MOST_EXAMPLES:
            self.examples[reason].append(path)

    @property
    def total(self) -> int:
        """How many were left out."""
        return sum(sum(details.values()) for details in self.counts.values())

    def lines(self) -> list[str]:
        """One line per reason, such as `not pictures 3 (.txt 2, .json 1)`."""
        result = []
        for reason, words in REASONS.items():
            details = self.counts.get(reason)
            if details:
                named = ", ".join(f"{detail} {count}" for detail, count in sorted_details(details) if detail)
                result.append(f"{words} {sum(details.values())}" + (f" ({named})" if named else ""))
        return result

    def record(self) -> dict[str, Any]:
        """The counts for run.json: by reason the number, the numbers by detail, and examples."""
        return {
            reason: {
                "count": sum(details.values()),
                "by": {detail: count for detail, count in sorted_details(details) if detail},
                "examples": self.examples[reason],
            }
            for reason, details in ((reason, self.counts.get(reason)) for reason in REASONS)
            if details
        }


def sorted_details(details: Counter[str]) -> list[tuple[str, int]]:
    """The details with their counts, the most frequent first, equal ones by name."""
    return sorted(details.items(), key=lambda item: (-item[1], item[0]))
