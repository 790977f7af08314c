"""The options that select texts: wrong ones end the command before any worker starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.selection import SelectOptions
from operators.rows.failure import RunError
from tests.flows.cli.conftest import AssertRefused

WRONG = {
    "an unknown kind": (["erase", "in", "out", "--kind", "logo"], "option_invalid", "text, mark, mask, email"),
    "a wrong expression": (["erase", "in", "out", "--keep", "("], "option_invalid", "no regular expression"),
    "a zone outside the picture": (["erase", "in", "out", "--zone", "top:120%x5"], "option_invalid", "outside the picture"),
    "a range that is none": (["find", "in", "out", "--height", "12"], "option_invalid", "--height 12"),
    "rules and options": (["erase", "in", "out", "--rules", "r.yaml", "--most", "5%"], "option_invalid", "either --rules"),
    "an unknown cover": (["erase", "in", "out", "--fill", "smear"], "option_invalid", "color, blur, pixelate"),
    "a cover and a model": (
        ["erase", "in", "out", "--fill", "blur", "--model", "telea"],
        "option_invalid",
        "needs no --preset",
    ),
    "no regions and no detection": (["erase", "in", "out", "--no-detect"], "option_invalid", "needs --regions"),
    "regions that are none": (["erase", "in", "out", "--regions", "in"], "regions_invalid", "neither COCO JSON"),
    "a column of a folder": (["find", "in", "out", "--regions", "column:boxes"], "column_missing", "boxes"),
    "a score that nothing has": (["erase", "in", "out", "--score", "1.5.."], "option_invalid", "only 0..1 is possible"),
    "more than the picture": (["preview", "in", "--most", "150%"], "option_invalid", "'150%' is more than the picture"),
    "regions that are missing": (["find", "in", "out", "--regions", "no.json"], "regions_invalid", "there is no such file"),
    "missing rules": (
        ["erase", "in", "out", "--rules", "none.yaml"],
        "rules_invalid",
        "none.yaml: there is no such file",
    ),
}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_selection_is_one_line_before_ray_starts(
    assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    assert_refused(arguments, code, named)


def test_rules_by_a_column_that_the_manifest_lacks_are_refused(tmp_path: Path) -> None:
    rules, manifest = tmp_path / "rules.yaml", tmp_path / "list.csv"
    rules.write_text("sources: [{column: supplier, equals: a}]")
    manifest.write_text("uri,shop\n/1.png,a\n")
    with pytest.raises(RunError, match=r"column_missing: .*list\.csv has no column supplier"):
        SelectOptions(rules=str(rules)).choice(str(manifest))
    manifest.write_text("uri,supplier\n/1.png,a\n")
    assert SelectOptions(rules=str(rules)).choice(str(manifest)).selection is not None


def test_a_pattern_of_absolute_paths_needs_a_manifest(tmp_path: Path) -> None:
    rules, manifest = tmp_path / "rules.yaml", tmp_path / "list.csv"
    rules.write_text(f"sources: [{{path: '{tmp_path}/acme/*'}}]")
    manifest.write_text("uri\nacme/1.png\n")
    with pytest.raises(RunError, match=r"rules_invalid: path .*/acme/\*: a path below .* is meant here, such as 'acme/\*'"):
        SelectOptions(rules=str(rules)).choice(str(tmp_path))
    assert SelectOptions(rules=str(rules)).choice(str(manifest)).selection is not None


def test_no_option_means_no_rules() -> None:
    assert SelectOptions().choice("in").selection is None
