"""Rules are checked before a run: an error is one line that names the option or the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.rows.failure import RunError
from operators.selection.rule_file import EXPECTED, Options, read_rules

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
    "more than the picture": (Options(most="150%"), "--most 150%: '150%' is more than the picture"),
    "nothing that may go": (Options(most="0"), "--most 0: with '0' nothing could go"),
    "a score above all": (Options(score="1.5.."), "--score 1.5..: score cannot be 1.5..: only 0..1 is possible"),
    "a score below all": (Options(score="..-0.1"), "--score ..-0.1: score cannot be ..-0.1: only 0..1 is possible"),
    "an opacity above all": (Options(opacity="..2"), "--opacity ..2: opacity cannot be ..2: only 0..1 is possible"),
    "an angle beyond upright": (Options(angle="91.."), "--angle 91..: angle cannot be 91..: only -90..90 is possible"),
    "a negative height": (Options(height="-5.."), "--height -5..: height cannot be -5..: only 0.. is possible"),
    "a width above all": (Options(width="120%.."), "--width 120%..: width cannot be 120%..: only 0%..100% is possible"),
    "an area above all": (Options(size="..101%"), "--size ..101%: size cannot be ..101%: only 0%..100% is possible"),
}
WRONG_FILES = {
    "no YAML": ("rules: [", "line 1, column 9: expected the node content"),
    "nothing": ("", "it is empty; --rules takes a YAML file such as"),
    "a comment alone": ("# later", "it is empty; --rules takes a YAML file such as"),
    "no text": ("\x89PNG\x00", "not a text in UTF-8; --rules takes a YAML file such as"),
    "a repeated key": ("rules:\n- keep: {text: A}\n  keep: {text: B}", "line 3, column 3: 'keep' is given twice"),
    "a key that is no word": ("{a: b}: c", "line 1, column 1: a key is one word"),
    "no list of rules": ("rules: {keep: {text: a}}", "rules: a list is needed here"),
    "a rule without conditions": ("rules: [{keep: }]", "rules.0.keep: a mapping is needed here"),
    "a condition without a value": ("rules: [{keep: {text: }}]", "rules.0.keep.text: nothing is given"),
    "an empty expression": ("rules: [{keep: {text: [a, '']}}]", "rules.0.keep.text: the expression is empty"),
    "an empty list": ("rules: [{keep: {zone: []}}]", "rules.0.keep.zone: nothing is given"),
    "a score that is impossible": ("rules: [{keep: {score: 1.5..}}]", "rules.0.keep: score cannot be 1.5..: only 0..1 is"),
    "more than the picture": ("most: 150%", "most: '150%' is more than the picture"),
    "keep beside erase": ("rules: [{keep: {text: A}}, {erase: {text: B}}]", "some rules keep and some erase: add otherwise"),
    "keep beside erase in a source": (
        "sources: [{path: a, rules: [{keep: {text: A}}, {erase: {text: B}}]}]",
        "sources.0: some rules keep and some erase: add otherwise: keep, or otherwise: erase",
    ),
    "no mapping": ("- keep", "not a mapping"),
    "an unknown key": ("onwards: keep", "onwards: there is no such key here"),
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


def test_a_file_that_is_missing_or_a_folder_is_said_so_with_the_way_on(tmp_path: Path) -> None:
    for file, problem in ((tmp_path / "none.yaml", "there is no such file"), (tmp_path, "it is a folder, not a file")):
        with pytest.raises(RunError) as error:
            read_rules(str(file))
        assert str(error.value) == f"rules_invalid: {file}: {problem}; {EXPECTED}"


def test_a_file_that_may_not_be_read_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.cat_file", refuse)
    with pytest.raises(RunError, match=r"rules_invalid: .*rules\.yaml: reading it is not permitted; --rules takes"):
        read_rules(str(tmp_path / "rules.yaml"))


def test_values_are_texts_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("sources:\n- &one {column: supplier, equals: 007}\n- {<<: *one, equals: [NO, 2024-01-02, 1_000]}\n")
    assert [source.equals for source in read_rules(str(file)).sources] == [("007",), ("NO", "2024-01-02", "1_000")]


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
    limits = Options(zone=("top:50%x50%",), score="0.5..").selection()
    assert limits.rules[-1].name == "--zone top:50%x50%, --score 0.5.."
    assert limits.rules[-1].action == "erase"
    assert Options().is_empty
