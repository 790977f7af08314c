"""cleanplate as its command line runs it, including index, ledger and report.

python -m benchmarks.peers.ours LAYOUT IMAGES DEST NOTES [MASKS]

LAYOUT is `laptop` (fused) or `staged`. With MASKS it uses these masks instead of finding text.
"""

from __future__ import annotations

import sys

from benchmarks.peers import notes
from benchmarks.peers.functions import FILL
from benchmarks.peers.noted import NotedDetect, NotedGivenMasks
from benchmarks.peers.object_store import object_store_use
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
    layout, images, dest, folder, *masks = sys.argv[1:]
    find = NotedGivenMasks(masks=masks[0], noted=folder) if masks else NotedDetect(noted=folder)
    flow = Flow((Fetch(), find, Soften(), Inpaint(FILL), Verify(), Compose()))
    run(flow, images, dest, load(layout))
    notes.note_end(folder)
    rows = ledger.read(dest)
    timings = (timing for timings in rows["timings"].to_pylist() for timing in timings)
    notes.note_results(folder, rows["verdict"].to_pylist(), timings, **object_store_use())


if __name__ == "__main__":
    main()
