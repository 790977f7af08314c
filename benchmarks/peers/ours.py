"""cleanplate, as its command line runs it, index, ledger and report included.

python -m benchmarks.peers.ours LAYOUT IMAGES DEST NOTES [MASKS]

LAYOUT is `laptop` (fused) or `staged`. With MASKS it finds no text and takes the masks as they
are.
"""

from __future__ import annotations

import sys

from benchmarks.peers import notes
from benchmarks.peers.functions import FILL
from benchmarks.peers.noted import NotedDetect, NotedGivenMasks
from benchmarks.peers.object_store import used
from cluster.profile import load
from flows.engine.run import run
from flows.flow import Flow
from operators.compose import Compose
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.ledger import ledger
from operators.soften import Soften
from operators.verify import Verify


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
