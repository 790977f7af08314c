"""Several nodes on one machine, in a process of their own that is told what to do by lines on its
standard input.

    RAY_TMPDIR=FOLDER python -m tests.cluster.nodes

The head has no CPUs. A line is JSON: `{"add": {...}}` starts a node with these arguments of Ray's
`Cluster.add_node`, `{"remove": 0}` kills the first one as a power cut would, `{}` changes
nothing. Every answer is a line of JSON: first the cluster's address, then the nodes that it has.
The process ends when its input does, and takes all nodes along.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Start the head and obey."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = []
    answer({"address": cluster.address})
    for line in sys.stdin:
        told = json.loads(line)
        if "add" in told:
            nodes.append(cluster.add_node(**told["add"]))
        if "remove" in told:
            cluster.remove_node(nodes[told["remove"]], allow_graceful=False)
        answer([node for node in cluster.global_state.node_table() if node["Alive"]])
    cluster.shutdown()


def answer(content: object) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(content, default=str), flush=True)


if __name__ == "__main__":
    main()
