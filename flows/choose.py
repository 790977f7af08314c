"""Which regions a flow works on: what it finds, and what the user's rules leave of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from operators.detect import Detect
from operators.operator import Operator
from operators.pictures.codec import Limits
from operators.select import Select
from operators.selection.rules import Selection
from operators.vision.text_confirmation import Confirmation


@dataclass(frozen=True)
class Choice:
    """The user's rules for a flow; without any, every text that is found goes."""

    selection: Selection | None = None
    keeps_text: bool = True
    """Whether the ledger holds what was read to decide."""

    def detect(self, limits: Limits, detector: str) -> Detect:
        """The detection. The rules, if there are any, bound how much of the picture may go."""
        confirmation = Confirmation()
        if self.selection is not None:
            confirmation = replace(confirmation, most_area=float("inf"))
        return Detect(limits=limits, detector=detector, confirmation=confirmation)

    def operators(self, limits: Limits) -> list[Operator]:
        """The operators between finding and masking."""
        return [] if self.selection is None else [Select(self.selection, self.keeps_text, limits)]
