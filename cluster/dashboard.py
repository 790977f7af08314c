"""The Grafana dashboard: the operators' metrics beside those of Ray and its nodes.

python -m cluster.dashboard     writes dashboards/cleanplate.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "dashboards" / "cleanplate.json"
WIDTH, HEIGHT, ACROSS = 8, 8, 3
"""Size of a chart in Grafana's grid cells, and the charts side by side in the grid's 24 columns.
"""
RUN = 'SessionName=~"$session"'
"""Selects the session: every series of a Ray cluster has its label, and each RayJob has its own.
"""


@dataclass(frozen=True)
class Panel:
    """One chart."""

    title: str
    unit: str
    """By Grafana's name."""
    queries: tuple[tuple[str, str], ...]
    """Each is an expression in PromQL and its legend."""


def _rate(metric: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{RUN}}}[$__rate_interval]))"


def _quantile(share: float) -> tuple[str, str]:
    return (
        f"histogram_quantile({share}, {_rate('ray_cleanplate_operator_milliseconds_bucket', 'le', 'operator')})",
        "{{operator}}",
    )


def _by(aggregate: str, metric: str, *by: str, selector: str = "") -> str:
    return f"{aggregate} by ({', '.join(by)}) ({metric}{{{RUN}{selector}}})"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Images": (
        Panel("Images per second", "short", ((_rate("ray_cleanplate_images_total", "verdict"), "{{verdict}}"),)),
        Panel("Images so far", "short", ((_by("sum", "ray_cleanplate_images_total", "verdict"), "{{verdict}}"),)),
        Panel("Texts per second", "short", ((_rate("ray_cleanplate_texts_total", "end"), "{{end}}"),)),
        Panel(
            "Failures per second",
            "short",
            ((_rate("ray_cleanplate_failures_total", "operator", "code"), "{{operator}}: {{code}}"),),
        ),
        Panel(
            "Fills per second",
            "short",
            ((_rate("ray_cleanplate_fills_total", "rung", "outcome"), "{{rung}} {{outcome}}"),),
        ),
        Panel("Bytes per second", "Bps", ((_rate("ray_cleanplate_bytes_total", "direction"), "{{direction}}"),)),
    ),
    "Operators": (
        Panel("Latency P50", "ms", (_quantile(0.5),)),
        Panel("Latency P95", "ms", (_quantile(0.95),)),
        Panel("Latency P99", "ms", (_quantile(0.99),)),
        Panel(
            "Busy processes by kind of work",
            "short",
            ((f"{_rate('ray_cleanplate_spent_milliseconds_total', 'operator', 'kind')} / 1000", "{{operator}} {{kind}}"),),
        ),
        Panel(
            "Images per call",
            "short",
            (
                (
                    f"{_rate('ray_cleanplate_batch_images_total', 'stage')} / {_rate('ray_cleanplate_batches_total', 'stage')}",
                    "{{stage}}",
                ),
            ),
        ),
        Panel(
            "Peak GPU memory of a process",
            "bytes",
            ((_by("max", "ray_cleanplate_gpu_memory_bytes", "stage"), "{{stage}}"),),
        ),
    ),
    "Ray": (
        Panel("Tasks running", "short", ((_by("sum", "ray_data_num_tasks_running", "operator"), "{{operator}}"),)),
        Panel("Processes alive", "short", ((_by("sum", "ray_data_num_alive_actors", "operator"), "{{operator}}"),)),
        Panel("Blocks waiting", "short", ((_by("sum", "ray_data_operator_queued_blocks", "operator"), "{{operator}}"),)),
        Panel("CPUs", "short", ((_by("sum", "ray_resources", "State", selector=', Name="CPU"'), "{{State}}"),)),
        Panel(
            "Object store",
            "bytes",
            (
                (_by("sum", "ray_object_store_used_memory", "NodeAddress"), "{{NodeAddress}}"),
                (_by("sum", "ray_spill_manager_objects_bytes", "State"), "{{State}}"),
            ),
        ),
        Panel("Nodes", "short", ((_by("count", "ray_node_cpu_count", "RayNodeType"), "{{RayNodeType}}"),)),
    ),
    "Nodes": (
        Panel("CPU", "percent", ((_by("avg", "ray_node_cpu_utilization", "ip"), "{{ip}}"),)),
        Panel(
            "Memory in use",
            "percentunit",
            ((f"{_by('sum', 'ray_node_mem_used', 'ip')} / {_by('sum', 'ray_node_mem_total', 'ip')}", "{{ip}}"),),
        ),
        Panel(
            "Network",
            "Bps",
            (
                (_by("sum", "ray_node_network_receive_speed", "ip"), "{{ip}} in"),
                (_by("sum", "ray_node_network_send_speed", "ip"), "{{ip}} out"),
            ),
        ),
        Panel("GPU", "percent", ((_by("avg", "ray_node_gpus_utilization", "ip", "GpuIndex"), "{{ip}} {{GpuIndex}}"),)),
        Panel("GPU memory", "decmbytes", ((_by("sum", "ray_node_gram_used", "ip", "GpuIndex"), "{{ip}} {{GpuIndex}}"),)),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's import format."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, charts in ROWS.items():
        panels.append({"type": "row", "title": row, "gridPos": {"x": 0, "y": top, "w": WIDTH * ACROSS, "h": 1}})
        top += 1
        for number, chart in enumerate(charts):
            x, y = number % ACROSS * WIDTH, top + number // ACROSS * HEIGHT
            panels.append(_timeseries(chart, {"x": x, "y": y, "w": WIDTH, "h": HEIGHT}))
        top += -(-len(charts) // ACROSS) * HEIGHT
    return {
        "uid": "cleanplate",
        "title": "cleanplate",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [_DATASOURCE, _SESSION]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


_DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SESSION = {
    "name": "session",
    "label": "Ray session",
    "type": "query",
    "datasource": _SOURCE,
    "query": {"query": "label_values(ray_node_cpu_count, SessionName)", "refId": "session"},
    "refresh": 2,
    "sort": 2,
    "includeAll": True,
    "allValue": ".*",
    "multi": True,
}


def _timeseries(panel: Panel, grid_position: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "gridPos": grid_position,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(dashboard(), indent=2) + "\n")
