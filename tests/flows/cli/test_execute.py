"""What the options of a run do: dry runs, JSON, silence, patterns, and what is refused early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.profile import cores, laptop
from flows.engine.forecast import Forecast, forecast
from flows.engine.run import run
from flows.engine.settings import Options
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from operators.ledger import index, ledger
from operators.rows.failure import RunError
from operators.storage.files import check_scheme
from operators.storage.intake import Intake
from operators.storage.listing import list_source
from tests.fixtures.cli import Invoke
from tests.flows.cli.conftest import AssertRefused

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.pictures import Pictures

FAST = Fills((Rung("telea"),))
REFUSED = {
    "more workers than cores can serve": (["in", "out", "--workers", "99"], "option_invalid", "--workers 99"),
    "a prompt that nothing reads": (["in", "out", "--prompt", "wall"], "option_invalid", "no prompt is read by hybrid;"),
    "part 0": (["in", "out", "--part", "0/4"], "option_invalid", "--part 0/4: give a number and how many parts"),
    "a part beyond the last": (["in", "out", "--part", "5/4"], "option_invalid", "--part 5/4"),
    "no part at all": (["in", "out", "--part", "x"], "option_invalid", "--part x"),
    "a part that starts all over": (
        ["in", "out", "--part", "1/4", "--fresh"],
        "option_invalid",
        "--fresh starts all parts over",
    ),
    "a storage without its package": (["in", "az://bucket/out"], "package_missing", "cleanplate[azure]"),
    "a source without its package": (["gs://bucket/in", "out"], "package_missing", "cleanplate[google]"),
    "an unknown storage": (["in", "zz://bucket/out"], "option_invalid", "zz"),
    "a destination that is a file": (["in", "in/a.png"], "option_invalid", "in/a.png is a file"),
    "a destination below a file": (["in", "in/a.png/out"], "option_invalid", "lies below in/a.png, which is a file"),
    "a source of the wrong kind": (["sound.py", "out"], "source_invalid", "sound.py"),
    "an empty source": (["", "out"], "source_missing", "SOURCE is empty"),
    "an empty destination": (["in", ""], "option_invalid", "DEST is empty"),
    "patterns that leave nothing": (["in", "out", "--exclude", "*"], "source_missing", "--exclude"),
    "no column of that name": (["list.csv", "out", "--output-column", "name"], "manifest_invalid", "'name'"),
}


@pytest.fixture
def source(tmp_path: Path, pictures: Pictures) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    pictures.strip(1, "CAPTION").save(folder / "a.png")
    pictures.plain(2, (40, 30)).save(folder / "sub" / "b.jpg")
    return folder


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def run_here(source: Path | str, dest: Path, options: Options = Options()) -> None:
    run(erase_text(FAST), str(source), str(dest), laptop().with_workers(1), options)


@pytest.mark.parametrize(("arguments", "code", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_before_anything_is_created(
    workplace: Path, assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    (workplace / "list.csv").write_text("uri\nin/a.png\n")
    before = {str(path) for path in workplace.rglob("*")}
    assert_refused(["erase", *arguments], code, named)
    assert {str(path) for path in workplace.rglob("*")} == before


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(workplace: Path, invoke: Invoke) -> None:
    exit_code, out, err = invoke("erase", "in", "out", "--dry-run")
    assert (exit_code, err) == (0, "")
    said, limit = out.splitlines()
    assert said.startswith("1 image, ") and said.endswith(f" to {workplace / 'out'}; nothing was written")
    assert limit.startswith("filling one image takes at most 120 s of one core")
    assert "; 1 would go through fetch, detect, soften, " in out
    exit_code, out, _ = invoke("erase", "in", "out", "--dry-run", "--json")
    figures = json.loads(out)
    assert (figures["event"], figures["images"], figures["to_do"]) == ("dry_run", 1, 1)
    assert not (workplace / "out").exists()


def test_a_few_pictures_are_worked_without_ray_with_the_bytes_of_a_run_with_it(
    cleanplate: Command, source: Path, tmp_path: Path, ray_here: None
) -> None:
    run(erase_text(), str(source), str(tmp_path / "ray"), laptop().with_workers(1))
    ended = cleanplate("erase", "in", "few", "--json", cwd=tmp_path, environment={"RAY_ADDRESS": ""})
    assert (ended.code, ended.err, ended.used_ray) == (0, "", False)
    *progress, last = [json.loads(line) for line in ended.out.splitlines()]
    assert {line["event"] for line in progress} == {"progress"}
    assert (last["event"], last["images"], last["report"]) == ("summary", 2, str(tmp_path / "few" / "report.html"))
    few, ray = tmp_path / "few" / "images", tmp_path / "ray" / "images"
    assert files(few) == files(ray) == {"a.png", "sub/b.jpg"}
    assert all((few / name).read_bytes() == (ray / name).read_bytes() for name in files(few))
    rows = [{row["path"]: row for row in ledger.read(str(tmp_path / name)).to_pylist()} for name in ("few", "ray")]
    for name in files(few):
        for column in ("image_id", "verdict", "reasons", "texts", "output_sha256", "source_sha256"):
            assert rows[0][name][column] == rows[1][name][column]
        assert rows[0][name]["output_uri"] == str(few / name)
    again = cleanplate("erase", tmp_path / "in", tmp_path / "few", "--quiet", environment={"RAY_ADDRESS": ""})
    assert (again.code, again.out, again.err) == (0, "", "")  # the same source, spelt absolutely


def test_an_image_that_crashes_its_process_is_rolled_back_without_ray(
    cleanplate: Command, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "crash.py").write_text(
        "import os\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from cleanplate import Flow, Operator, map_rows\nfrom operators.fetch import Fetch\n"
        "@dataclass(frozen=True)\nclass Crash(Operator):\n"
        "    reads: ClassVar = ('path',)\n    adds: ClassVar = ('encoded', 'verdict', 'reasons')\n"
        "    def apply(self, batch): return map_rows(batch, self.name, self.adds, self._work)\n"
        "    def _work(self, row):\n        if row['path'] == 'a.png': os.abort()\n"
        "        return {'verdict': 'untouched', 'reasons': []}\n"
        "flow = Flow((Fetch(), Crash()))\n"
    )
    ended = cleanplate("run", "crash.py:flow", "in", "out", cwd=tmp_path)
    assert ended.code == 0 and not ended.used_ray, ended.err
    rows = {row["path"]: row for row in ledger.read(str(tmp_path / "out")).to_pylist()}
    assert rows["a.png"]["failure"]["code"] == "worker_crashed"
    assert (tmp_path / "out" / "images" / "a.png").read_bytes() == (source / "a.png").read_bytes()
    assert rows["sub/b.jpg"]["verdict"] == "untouched"


def test_a_fresh_run_leaves_nothing_of_the_earlier_one(ray_here: None, source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    run_here(source, dest)
    (dest / "images" / "mine.txt").write_text("not of the run")
    (source / "sub" / "b.jpg").rename(source / "c.jpg")
    (source / "sub").rmdir()
    with pytest.raises(RunError, match="source_missing"):
        run_here(tmp_path / "nowhere", dest, Options(fresh=True))
    assert (dest / "images" / "sub" / "b.jpg").exists()  # a source that is missing costs nothing
    run_here(source, dest, Options(fresh=True))
    assert files(dest / "images") == {"a.png", "c.jpg", "mine.txt"}
    assert not (dest / "images" / "sub").exists()
    assert {row["path"] for row in ledger.read(str(dest)).to_pylist()} == {"a.png", "c.jpg"}


def test_patterns_choose_images(ray_here: None, source: Path, tmp_path: Path) -> None:
    intake = Intake(("*.jpg", "a*"), ("sub/**",))
    assert [intake.takes(path) for path in ("a.png", "x.jpg", "deep/a.png", "sub/b.jpg", "b.png")] == [
        *(True, True, True, False, False),
    ]
    assert Intake(("sub/*.jpg",)).takes("sub/b.jpg") and not Intake(("sub/*.jpg",)).takes("sub/x/b.jpg")
    run_here(source, tmp_path / "out", Options(intake=intake))
    assert files(tmp_path / "out" / "images") == {"a.png"}


def test_a_column_names_the_outputs_of_a_manifest(ray_here: None, source: Path, tmp_path: Path) -> None:
    manifest, intake = tmp_path / "list.csv", Intake(output_column="name")
    manifest.write_text(f"uri,name\n{source / 'a.png'},first/one.png\n{source / 'sub' / 'b.jpg'},two.jpg\n")
    run_here(manifest, tmp_path / "out", Options(intake=intake))
    assert files(tmp_path / "out" / "images") == {"first/one.png", "two.jpg"}
    for wrong, problem in (("first/one.png", "occurs twice"), ("../two.jpg", "leaves the destination")):
        manifest.write_text(f"uri,name\n{source / 'a.png'},first/one.png\n{source / 'sub' / 'b.jpg'},{wrong}\n")
        with pytest.raises(RunError, match=f"manifest_invalid: .*{problem}"):
            run_here(manifest, tmp_path / "wrong", Options(intake=intake))
        assert not (tmp_path / "wrong").exists()


def test_an_image_of_a_manifest_keeps_its_relative_path(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uris = ["in/a.png", "./in/sub/b.jpg", str(source / "a.png"), "local/a.png", "../x.png", "s3/a.png", "s3://bucket/a.png"]
    (tmp_path / "list.csv").write_text("uri\n" + "\n".join(uris) + "\n")
    paths = [image.path for image in list_source("list.csv", "")]
    here = str(tmp_path).lstrip("/")
    assert paths == [
        *("in/a.png", "in/sub/b.jpg", f"local/{here}/in/a.png", f"local/{here}/local/a.png"),
        *(f"local/{here.rpartition('/')[0]}/x.png", f"local/{here}/s3/a.png", "s3/bucket/a.png"),
    ]
    assert len(set(paths)) == len(paths)


def test_a_storage_names_what_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(kind: str) -> None:
        raise ImportError(kind)

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    for place, words in (("s3://a", r"cleanplate\[s3\]"), ("gs://a", r"cleanplate\[google\]"), ("sftp://a", "paramiko")):
        with pytest.raises(RunError, match=f"package_missing: {place}: .*{words}"):
            check_scheme(place)


def test_a_forecast_is_the_mean_of_a_sample_over_the_workers(source: Path, tmp_path: Path) -> None:
    index.build(str(source), str(tmp_path / "out"))
    predicted = forecast(erase_text(FAST), str(tmp_path / "out"), laptop(), {0: 1000})
    assert predicted is not None
    assert (predicted.sampled, predicted.images, predicted.workers) == (2, 1000, cores())
    assert 0 < predicted.seconds_per_image < 60
    assert Forecast(6, 2.0, 300, 4).seconds == 150.0
    assert not (tmp_path / "out" / "images").exists() and not (tmp_path / "out" / "ledger").exists()


def test_an_interrupt_during_the_imports_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal, builtins\nreal = builtins.__import__\n"
        "def slow(name, *rest):\n    if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n    return real(name, *rest)\n"
        "builtins.__import__ = slow\nsys.argv = ['cleanplate', 'erase', 'in', 'out']\nimport cleanplate; cleanplate.main()"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()) == (
        *(3, ["error: interrupted: run the same command again to continue where this run stopped"]),
    )


def test_an_interrupt_while_few_pictures_are_worked_is_one_line(cleanplate: Command, source: Path, tmp_path: Path) -> None:
    process = cleanplate.start("erase", "in", "out", "--preset", "quality", ray_folder=str(tmp_path), cwd=tmp_path)
    for _ in range(300):
        if (tmp_path / "out" / "run.json").exists():
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert err.splitlines()[-1].startswith("error: interrupted: run the same command again")
    assert "Traceback" not in err


def test_an_unexpected_error_is_one_line(invoke: Invoke, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("flows.cli.execute.run", fail)
    exit_code, out, err = invoke("erase", "in", "out")
    assert (exit_code, out) == (1, "")
    assert err.splitlines() == [
        "error: unexpected: ZeroDivisionError: by zero (set CLEANPLATE_TRACEBACK=1 to see where)",
    ]
    monkeypatch.setenv("CLEANPLATE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        invoke("erase", "in", "out")


def test_the_version_is_that_of_the_package(invoke: Invoke) -> None:
    exit_code, out, _ = invoke("--version")
    assert (exit_code, out.split()[0]) == (0, "cleanplate")
    assert out.split()[1].count(".") == 2
