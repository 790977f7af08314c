"""Several nodes on one machine, started by a process that reads commands from standard input.

    RAY_TMPDIR=FOLDER python -m tests.cluster.nodes

The head has no CPUs. A command is a line of JSON: `{"add": {...}}` starts a node with these
arguments of Ray's `Cluster.add_node`, `{"remove": 0}` kills the first one as a power cut would,
and `{}` changes nothing. Every answer is a line of JSON: first the cluster's address, and after
each command its nodes. The process ends with its input, and all nodes end with it.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Start the head and carry out commands."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = []
    answer({"address": cluster.address})
    for line in sys.stdin:
        command = json.loads(line)
        if "add" in command:
            nodes.append(cluster.add_node(**command["add"]))
        if "remove" in command:
            cluster.remove_node(nodes[command["remove"]], allow_graceful=False)
        answer([node for node in cluster.global_state.node_table() if node["Alive"]])
    cluster.shutdown()


def answer(content: object) -> None:
    """Write one line of JSON to standard output."""
    print(json.dumps(content, default=str), flush=True)


if __name__ == "__main__":
    main()
