"""Rules are checked before a run: an error is one line that names the option or the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.rows.failure import RunError
from operators.selection.rule_file import Options, read_rules

WRONG_OPTIONS = {
    "an unknown kind": (Options(kind=("text,logo",)), "--kind text,logo: there is no 'logo'"),
    "a script that nobody reads": (Options(script=("arabic",)), "--script arabic: the recogniser has no letters of 'arabic'"),
    "a script that nobody knows": (Options(script=("klingon",)), "--script klingon: there is no 'klingon'"),
    "a wrong expression": (Options(keep=("(",)), "--keep (: '(' is no regular expression"),
    "a misspelt kind": (Options(only=("emial",)), "--only emial: there is no 'emial'; did you mean email?"),
    "a misspelt kind beside another": (Options(only=("email,fone",)), "--only email,fone: there is no 'fone'; choose from"),
    "an empty expression": (Options(keep=("",)), "--keep: the expression is empty"),
    "a zone outside": (Options(zone=("top:120%x10",)), "--zone top:120%x10: 'top:120%x10' reaches outside the picture"),
    "a zone that is none": (Options(not_zone=("attic:1x1",)), "--not-zone attic:1x1: 'attic' is no place"),
    "a height that is no range": (Options(height="12"), "--height 12: '12' is no range"),
    "a share of an angle": (Options(angle="..5%"), "--angle ..5%: angle has no shares"),
    "a share that is none": (Options(most="half"), "--most half: 'half' is neither"),
}
WRONG_FILES = {
    "no YAML": ("rules: [", "while parsing"),
    "no mapping": ("- keep", "not a mapping"),
    "an unknown key": ("onwards: keep", "onwards: Extra inputs"),
    "a rule that does two things": ("rules: [{keep: {}, erase: {}}]", "rules.0: a rule has either keep or erase"),
    "a source without pictures": ("sources: [{rules: []}]", "sources.0: a source has a path"),
    "an unknown kind": (
        "sources: [{path: a, rules: [{keep: {kind: logo}}]}]",
        "sources.0.rules.0.keep.kind: there is no 'logo'",
    ),
    "a script that nobody reads": (
        "rules: [{erase: {script: [latin, thai]}}]",
        "rules.0.erase.script: the recogniser has no letters of 'thai'",
    ),
}


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_a_wrong_option_is_named(options: Options, message: str) -> None:
    with pytest.raises(RunError) as error:
        options.selection()
    assert error.value.code == "option_invalid"
    assert error.value.message.startswith(message)
    assert "\n" not in error.value.message


@pytest.mark.parametrize(("content", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file_is_named_with_the_place(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(content)
    with pytest.raises(RunError) as error:
        read_rules(str(file))
    assert error.value.code == "rules_invalid"
    assert error.value.message.startswith(f"{file}: {message}")
    assert "\n" not in error.value.message


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"rules_invalid: .*none\.yaml"):
        read_rules(str(tmp_path / "none.yaml"))


def test_options_become_rules_under_their_own_names() -> None:
    selection = Options(only=("email, phone",), keep=("ACME",), zone=("top:50%x50%", "1,2:3x4"), height="5..").selection()
    assert [rule.name for rule in selection.rules] == [
        "--keep ACME",
        "--zone top:50%x50%,1,2:3x4",
        "--height 5..",
        "--only email, phone",
    ]
    assert selection.otherwise == "keep"
    assert selection.rules[-1].conditions.kind == ("email", "phone")
    assert Options(keep=("ACME",)).selection().otherwise == "erase"
    assert Options().is_empty
