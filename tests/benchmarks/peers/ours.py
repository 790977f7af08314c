"""cleanplate, as its command line runs it, index, ledger and report included.

python -m tests.benchmarks.peers.ours LAYOUT IMAGES DEST NOTES [MASKS]

LAYOUT is `laptop` (fused) or `staged`. With MASKS it finds no text and takes the masks as they are.
"""

from __future__ import annotations

import sys

from cluster.profile import load
from flows.flow import Flow
from flows.run import run
from operators import ledger
from operators.compose import Compose
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.soften import Soften
from operators.verify import Verify
from tests.benchmarks.peers import notes
from tests.benchmarks.peers.functions import FILL
from tests.benchmarks.peers.noted import NotedDetect, NotedGivenMasks
from tests.benchmarks.peers.object_store import used


def main() -> None:
    """Clean every picture."""
    layout, images, dest, noted, *masks = sys.argv[1:]
    find = NotedGivenMasks(masks=masks[0], noted=noted) if masks else NotedDetect(noted=noted)
    flow = Flow((Fetch(), find, Soften(), Inpaint(FILL), Verify(), Compose()))
    run(flow, images, dest, load(layout))
    notes.ended(noted)
    rows = ledger.read(dest)
    timings = (timing for timings in rows["timings"].to_pylist() for timing in timings)
    notes.told(noted, rows["verdict"].to_pylist(), timings, **used())


if __name__ == "__main__":
    main()
