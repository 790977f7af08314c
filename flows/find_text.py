"""The flow that only finds: texts as polygons, scores and masks, for people who bring another
editor.
"""

from __future__ import annotations

from flows.choose import Choice
from flows.flow import Flow
from operators.fetch import Fetch
from operators.operator import Operator
from operators.pictures.codec import Limits
from operators.read import Read
from operators.record import Record
from operators.soften import Soften


def look_for_text(
    reads: bool = False, masks: bool = True, limits: Limits = Limits(), detector: str = "", choice: Choice = Choice()
) -> Flow:
    """Detect text, without an operator that records it: the flow for a single picture."""
    operators: list[Operator] = [Fetch(limits), *choice.find(limits, detector)]
    if reads:
        operators.append(Read(limits, choice.keeps_text))
    if masks:
        operators.append(Soften(limits=limits))
    return Flow(tuple(operators))


def find_text(
    dest: str, reads: bool = False, masks: bool = True, limits: Limits = Limits(), detector: str = "", choice: Choice = Choice()
) -> Flow:
    """Detect text and record where it is.

    With `masks`, the strokes of each text become a mask picture under DEST/masks; with `reads`, the
    ledger and the findings hold what each text says. `detector` is the path or URL of a text
    detector; the packaged one if it is empty. `choice` says which texts count as found; the others
    are recorded as kept. It also says whether what is read may be recorded.
    """
    return look_for_text(reads, masks, limits, detector, choice).then(Record(dest))
