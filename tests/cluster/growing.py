"""The configuration of a cluster that Ray's autoscaler grows, with simulated nodes.

Ray's `AutoscalingCluster` makes such a configuration from a file that Ray's wheel lacks, and ends
every Ray on the machine when it starts. So the configuration is written here for `ray start`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""The name of the head in Ray's simulated provider."""
ENVIRONMENT = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
}


def configuration(file: Path, gcs: str, groups: dict[str, dict[str, Any]], idle_minutes: float) -> Path:
    """Write the configuration and return its file.

    Each group has a name, `resources`, `labels`, `min_workers` and `max_workers`.
    """
    types = {name: {"node_config": {}, **group} for name, group in groups.items()}
    content = {
        "cluster_name": "simulated",
        "max_workers": sum(group["max_workers"] for group in groups.values()),
        "provider": {
            "type": "external",  # this type needs no file of defaults, which Ray's wheel lacks as well
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD,
            "gcs_address": gcs,
        },
        "available_node_types": {
            **types,
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": idle_minutes,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }
    file.write_text(json.dumps(content))
    return file
