"""Which regions a flow works on: what it finds, and what the user's rules leave of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from operators.detect import Detect
from operators.find_marks import FindMarks
from operators.given_regions import GivenRegions
from operators.operator import Operator
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from operators.select import Select
from operators.selection.rules import Selection
from operators.vision.text_confirmation import Confirmation


@dataclass(frozen=True)
class Choice:
    """The user's regions and rules for a flow; without any, every text that is found goes.

    Raises RunError option_invalid for a choice of nothing.
    """

    selection: Selection | None = None
    keeps_text: bool = True
    """Whether the ledger holds what was read to decide."""

    given: tuple[str, ...] = ()
    """Sources of given regions; see `GivenRegions`."""
    detects: bool = True
    """Whether texts are looked for too."""

    def __post_init__(self) -> None:
        if not self.detects and not self.given:
            raise RunError("option_invalid", "--no-detect needs --regions")

    def find(self, limits: Limits, detector: str, marks: str = "") -> list[Operator]:
        """The operators that say which regions go: detection, given regions, marks and rules.

        `marks` is a picture of a known mark, or a folder of them.
        """
        detection: list[Operator] = [self._detect(limits, detector)] if self.detects else []
        given: list[Operator] = [GivenRegions(self.given, limits)] if self.given else []
        known: list[Operator] = [FindMarks(marks, limits)] if marks else []
        return [*detection, *given, *known, *self.select(limits)]

    def _detect(self, limits: Limits, detector: str) -> Detect:
        """The detection. The rules, if there are any, bound how much of the picture may go."""
        confirmation = Confirmation()
        if self.selection is not None:
            confirmation = replace(confirmation, most_area=float("inf"))
        return Detect(limits=limits, detector=detector, confirmation=confirmation)

    def select(self, limits: Limits) -> list[Operator]:
        """The rules, if there are any."""
        return [] if self.selection is None else [Select(self.selection, self.keeps_text, limits)]
