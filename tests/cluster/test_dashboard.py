"""The shipped dashboard is the one that the code describes, and its parts fit together."""

from __future__ import annotations

import json

from cluster.dashboard import PATH, ROWS, dashboard

CHARTS = [panel for panel in dashboard()["panels"] if panel["type"] == "timeseries"]


def test_the_shipped_file_is_up_to_date() -> None:
    assert json.loads(PATH.read_text()) == dashboard()


def test_every_panel_is_there_once_and_none_covers_another() -> None:
    assert [chart["title"] for chart in CHARTS] == [panel.title for panels in ROWS.values() for panel in panels]
    assert len({chart["title"] for chart in CHARTS}) == len(CHARTS)
    panels = dashboard()["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in panels)
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_query_asks_the_chosen_source_for_the_chosen_session() -> None:
    names = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert names == {"datasource", "session"}
    for chart in CHARTS:
        for target in chart["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["expr"].count("ray_") == target["expr"].count('SessionName=~"$session"')


def test_operators_and_ray_have_separate_rows() -> None:
    ours = {
        title for title, panels in ROWS.items() if any("cleanplate" in query for panel in panels for query, _ in panel.queries)
    }
    assert ours == {"Images", "Operators"}
    assert set(ROWS) - ours == {"Ray", "Nodes"}
