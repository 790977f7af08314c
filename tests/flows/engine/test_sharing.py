"""Images of the same bytes are worked once in a run, and each of them is delivered."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.profile import Profile, Stage, laptop
from flows.engine import few_images, sharing
from flows.engine.run import run
from flows.engine.settings import Options
from flows.engine.sharing import BYTES, SHARED_CODES, Sharing, prepare
from flows.enlarge import enlarge_pictures
from flows.erase_text import erase_text
from flows.find_text import find_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from operators.fetch import Fetch
from operators.given_masks import GivenMasks
from operators.given_regions import GivenRegions
from operators.ledger import index, ledger
from operators.operator import Operator
from operators.rows.failure import CODES, Failure, RunError
from operators.select import Select
from operators.selection.rules import Selection
from operators.storage import files as storage
from operators.write import Write
from tests.flows.mirrored import Mirror, Undeclared, flow, mirrored, worked

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.s3 import S3

FUSED = laptop().with_workers(2)
ONE_BLOCK = FUSED.model_copy(update={"images_per_block": 16})
STAGED = Profile(
    name="staged",
    placement="staged",
    local_cpus=4,
    images_per_block=4,
    stages={"fetch": Stage(cpus=0.5), "mirror": Stage(cpus=0.5, pool=(2, 2), batch=3), "write": Stage(cpus=0.5)},
)


KEEP = ({"keep": {"kind": ["mark"]}},)
RULES = Selection.model_validate(
    {"sources": [{"path": ["logos/*"], "rules": KEEP}, {"column": "seller", "equals": ["two"], "rules": KEEP}]}
)


@dataclass(frozen=True)
class Place:
    """A source of pictures and where they go."""

    source: Path
    dest: Path
    counts: Path
    pictures: Pictures

    def put(self, name: str, number: int, word: bytes = b"") -> bytes:
        """Write a picture that differs by its number; `word` is appended to the file."""
        file = self.source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image = self.pictures.plain(number, (40 + number, 30))
        image.save(file, "PNG")
        file.write_bytes(file.read_bytes() + word)
        return file.read_bytes()

    def run(self, profile: Profile = FUSED, flow: Flow | None = None, **options: Any) -> Any:
        return run(flow or self.flow, str(self.source), str(self.dest), profile, Options(**options))

    @property
    def flow(self) -> Flow:
        return flow(self.counts)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in ledger.read(str(self.dest)).to_pylist()}

    def delivered(self, name: str) -> bytes:
        return (self.dest / "images" / name).read_bytes()

    def times_worked(self) -> list[int]:
        return sorted(worked(self.counts).values())


@pytest.fixture
def place(tmp_path: Path, pictures: Pictures) -> Place:
    (tmp_path / "counts").mkdir()
    (tmp_path / "in").mkdir()
    return Place(tmp_path / "in", tmp_path / "out", tmp_path / "counts", pictures)


@pytest.fixture(params=["few", "fused", "one block", "staged"])
def profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Every way in which images are laid out: without Ray, and with it."""
    if request.param == "few":
        monkeypatch.setattr(few_images, "suits", lambda profile, images: True)
        monkeypatch.setattr("flows.engine.run.suits", lambda profile, images: True)
        return FUSED
    request.getfixturevalue("ray_here")
    monkeypatch.setattr("flows.engine.run.suits", lambda profile, images: False)
    return {"fused": FUSED, "one block": ONE_BLOCK, "staged": STAGED}[request.param]


def test_the_same_bytes_are_worked_once_and_delivered_under_every_name(place: Place, profile: Profile) -> None:
    names = {f"{copy}/{number:02d}.png": number for copy in "abc" for number in range(4)}
    contents = {name: place.put(name, number) for name, number in names.items()}
    single = {f"{number}.png": place.put(f"{number}.png", number) for number in range(20, 24)}
    summary = place.run(profile)
    assert place.times_worked() == [1] * 8
    assert summary.verdicts == {"edited": 16}
    rows = place.rows()
    for name, data in (contents | single).items():
        assert place.delivered(name) == mirrored(data)
        assert rows[name]["output_uri"] == str(place.dest / "images" / name)
        assert rows[name]["output_sha256"] == hashlib.sha256(mirrored(data)).hexdigest()
        assert (rows[name]["verdict"], rows[name]["mirrored"]) == ("edited", True)
    firsts = [name for name in rows if rows[name]["twin_of"] is None]
    assert len(firsts) == 8
    for name in rows.keys() - firsts:
        (first,) = [other for other in firsts if rows[other]["image_id"] == rows[name]["twin_of"]]
        assert contents[first] == contents[name]
    assert {name: rows[name]["twin_of"] for name in single} == dict.fromkeys(single)


def test_a_run_leaves_no_claims_and_whole_shards(place: Place, profile: Profile) -> None:
    for number in range(6):
        place.put(f"{number}.png", number % 2)
    place.run(profile)
    assert {entry.name for entry in place.dest.iterdir()} == {"images", "ledger", "index", "run.json", "report.html"}
    assert [file.name for file in (place.dest / "ledger").rglob("*.parquet")] == ["complete.parquet"]


def test_every_copy_keeps_its_own_name_ending_columns_and_timings(place: Place, tmp_path: Path) -> None:
    data = place.put("a.jpg", 1)
    for name in ("b.jpeg", "deep/c.png"):
        place.put(name, 1)
    names = ["a.jpg", "b.jpeg", "deep/c.png"]
    table = pa.table({"uri": [str(place.source / name) for name in names], "price": pa.array([1, 2, 3], pa.int16())})
    pq.write_table(table, tmp_path / "list.parquet")
    run(place.flow, str(tmp_path / "list.parquet"), str(place.dest), FUSED)
    rows = ledger.read(str(place.dest))
    assert rows.schema.field("price").type == pa.int16()
    for row in rows.to_pylist():
        assert row["price"] == names.index(str(Path(row["uri"]).relative_to(place.source))) + 1
        assert Path(row["output_uri"]).name == Path(row["uri"]).name
        assert Path(row["output_uri"]).read_bytes() == mirrored(data)
        assert (row["size"], row["source_sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        spent = list(dict.fromkeys(timing["operator"] for timing in row["timings"]))
        assert spent == (["fetch", "mirror", "write"] if row["twin_of"] is None else ["fetch", "write"])
    assert place.times_worked() == [1]


def test_a_later_run_finds_the_finished_image_in_the_ledger(place: Place, profile: Profile) -> None:
    data = place.put("a.png", 1)
    place.put("b.png", 2)
    place.run(profile)
    (first,) = [row for row in place.rows().values() if row["path"] == "a.png"]
    for name in ("c.png", "d.png"):
        place.put(name, 1)
    summary = place.run(profile)
    assert (summary.before, summary.worked) == (2, 2)
    assert place.times_worked() == [1, 1]
    for name in ("c.png", "d.png"):
        assert place.rows()[name]["twin_of"] == first["image_id"]
        assert place.delivered(name) == mirrored(data)
    place.put("e.png", 1)
    (place.source / "c.png").unlink()
    place.run(profile)
    assert place.rows()["e.png"]["twin_of"] == first["image_id"], "the twin of a twin names the image that was worked"


def test_a_ledger_of_an_earlier_version_without_hashes_of_pixels_is_read(place: Place) -> None:
    place.put("a.png", 1)
    place.run()
    (shard,) = Path(place.dest, "ledger").rglob("*.parquet")
    pq.write_table(pq.read_table(shard).drop_columns(["pixels_sha256"]), shard)
    place.put("b.png", 1)
    place.run()
    rows = place.rows()
    assert rows["b.png"]["twin_of"] == rows["a.png"]["image_id"]


def test_a_finished_image_whose_file_was_changed_or_lost_is_not_copied(place: Place) -> None:
    for name, number in (("a.png", 1), ("b.png", 2)):
        place.put(name, number)
    place.run()
    (place.dest / "images" / "a.png").write_bytes(b"the user's own")
    (place.dest / "images" / "b.png").unlink()
    data = [place.put("c.png", 1), place.put("d.png", 2)]
    place.run()
    assert [place.delivered("c.png"), place.delivered("d.png")] == [mirrored(each) for each in data]
    assert [place.rows()[name]["twin_of"] for name in ("c.png", "d.png")] == [None, None]
    assert place.times_worked() == [2, 2]


def test_what_people_have_decided_about_an_image_is_not_delivered_for_another(place: Place) -> None:
    place.put("a.png", 1)
    place.run()
    rows = ledger.read(str(place.dest))
    notes = pa.array([["reviewed: 0123"]], rows["notes"].type)
    ledger.replace_rows(str(place.dest), 0, rows.set_column(rows.schema.names.index("notes"), "notes", notes))
    place.put("b.png", 1)
    place.run()
    assert place.rows()["b.png"]["twin_of"] is None
    assert place.times_worked() == [2]


def test_the_twin_of_an_image_that_crashes_its_process_is_not_tried(place: Place, ray_here: None) -> None:
    data = place.put("a.png", 1, b"crash")
    for number in range(12):
        place.put(f"{number:02d}.png", 1 if number % 3 == 0 else 20 + number, b"crash" if number % 3 == 0 else b"")
    summary = place.run(FUSED.model_copy(update={"images_per_block": 3}))
    assert summary.verdicts == {"edited": 8, "rolled_back": 5}
    rows = [row for row in place.rows().values() if row["verdict"] == "rolled_back"]
    assert Counter(row["twin_of"] is None for row in rows) == {True: 1, False: 4}
    for row in rows:
        assert (row["failure"]["code"], row["failure"]["operator"]) == ("worker_crashed", "mirror")
        assert place.delivered(row["path"]) == data
    # Once in the worker that it ended, and once by itself.
    assert worked(place.counts)[hashlib.sha256(data).hexdigest()] == 2


def test_a_converted_twin_gets_the_added_ending_unless_that_name_is_taken(place: Place) -> None:
    """`mirror` writes PNG, and `write` adds its ending to the name of a JPEG."""
    contents = io.BytesIO()
    place.pictures.plain(1, (40, 30)).save(contents, "JPEG")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (place.source / name).write_bytes(contents.getvalue())
    place.put("c.jpg.png", 2)
    place.run()
    rows = place.rows()
    assert {path: Path(row["output_uri"]).name for path, row in rows.items()} == {
        "a.jpg": "a.jpg.png",
        "b.jpg": "b.jpg.png",
        "c.jpg": "c.jpg",
        "c.jpg.png": "c.jpg.png",
    }
    assert place.delivered("a.jpg.png") == place.delivered("b.jpg.png") == mirrored(contents.getvalue())
    assert (rows["c.jpg"]["verdict"], rows["c.jpg"]["failure"]["code"]) == ("rolled_back", "name_taken")
    assert rows["c.jpg"]["twin_of"] is None
    assert place.delivered("c.jpg") == contents.getvalue()


def test_a_failure_that_lies_in_the_bytes_holds_for_the_twins(place: Place, profile: Profile) -> None:
    for name in ("a.png", "b.png"):
        place.put(name, 1, b"corrupt")
    summary = place.run(profile)
    assert (summary.verdicts, summary.failures) == ({"failed": 2}, {"corrupt": 2})
    assert [row["output_uri"] for row in place.rows().values()] == [None, None]
    assert place.times_worked() == [1]


def test_a_failure_that_lies_in_a_place_does_not(place: Place, profile: Profile) -> None:
    data, *_ = [place.put(f"{number}.png", 1, b"denied") for number in range(3)]
    with pytest.raises(RunError, match="incomplete: 3 images, 2 edited, 1 failed"):
        place.run(profile)
    assert place.times_worked() == [3], "the other two are worked by themselves"
    assert Counter(row["verdict"] for row in place.rows().values()) == {"failed": 1, "edited": 2}
    (failed,) = [name for name, row in place.rows().items() if row["verdict"] == "failed"]
    place.run(profile)
    assert place.times_worked() == [3], "a later run finds that the others are finished"
    assert place.delivered(failed) == mirrored(data)
    assert place.rows()[failed]["twin_of"] in {row["image_id"] for row in place.rows().values()}


def test_a_copy_that_cannot_be_stored_fails_alone(place: Place) -> None:
    for name in ("a.png", "b.png", "c.png"):
        place.put(name, 1)
    (place.dest / "images" / "b.png").mkdir(parents=True)
    summary = place.run()
    assert (summary.verdicts, summary.failures) == ({"edited": 2, "failed": 1}, {"output_path_conflict": 1})
    assert place.rows()["b.png"]["failure"]["operator"] == "write"


class Killed(BaseException):
    """Stands for a signal that ends the driver."""


@pytest.mark.usefixtures("without_ray")
def test_a_run_that_dies_before_the_copies_are_made_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data, *_ = [place.put(f"{number}.png", 1) for number in range(3)]

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("flows.engine.run.deliver_here", die)
        with pytest.raises(Killed):
            place.run()
    assert len(place.rows()) == 1
    place.run()
    assert place.times_worked() == [1]
    assert [place.delivered(f"{number}.png") for number in range(3)] == [mirrored(data)] * 3


@pytest.mark.usefixtures("without_ray")
def test_the_claims_of_a_dead_run_bind_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver and its workers end after the claim and before the work."""
    for number in range(2):
        place.put(f"{number}.png", 1)
    claim = Sharing.claim

    def die(self: Sharing, rows: pa.Table, column: str) -> Any:
        claim(self, rows, column)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Sharing, "claim", die)
        with pytest.raises(Killed):
            place.run()
    assert len(list((place.dest / "twins").rglob("*"))) == 3, "a folder, the suspects and a claim"
    assert place.times_worked() == []
    place.run()
    assert place.times_worked() == [1]
    assert not (place.dest / "twins").exists()


def fetched(place: Place) -> pa.Table:
    index.build(str(place.source), str(place.dest))
    return Fetch().apply(index.read_shard(str(place.dest), 0))


def test_a_claim_that_was_never_completed_counts_as_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        place.put(f"{number}.png", 1)
    monkeypatch.setattr(sharing, "READING_SECONDS", 0.0)
    rows = fetched(place)
    shared = prepare(place.flow.then(Write(str(place.dest))), str(place.dest), {0: 2})
    assert shared is not None
    key = shared.key(rows["source_sha256"][0].as_py(), "0.png", {})
    storage.write(storage.join(shared.folder, str(key)), b"")
    assert shared.claim(rows, BYTES)[1] is None


def test_the_image_that_has_claimed_its_content_is_worked_however_often_it_is_tried(place: Place) -> None:
    for number in range(3):
        place.put(f"{number}.png", 1)
    rows = fetched(place)
    shared = prepare(place.flow.then(Write(str(place.dest))), str(place.dest), {0: 3})
    assert shared is not None
    first, waiting = shared.claim(rows, BYTES)
    assert (len(first), waiting and len(waiting)) == (1, 2)
    for _ in range(2):
        again, _ = shared.claim(rows, BYTES)
        assert again["image_id"].to_pylist() == first["image_id"].to_pylist()


def test_a_storage_that_cannot_be_asked_costs_only_the_saving(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        place.put(f"{number}.png", 1)
    rows = fetched(place)
    shared = prepare(place.flow.then(Write(str(place.dest))), str(place.dest), {0: 2})
    assert shared is not None

    def refuse(uri: str, data: bytes) -> bool:
        raise Failure("access_denied", uri)

    monkeypatch.setattr(storage, "create", refuse)
    assert shared.claim(rows, BYTES) == (rows, None)


def test_without_two_images_of_one_size_there_are_no_claims(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        place.put(f"{number}.png", number, b"x" * number)
    index.build(str(place.source), str(place.dest))
    sizes = [file.stat().st_size for file in place.source.iterdir()]
    assert len(set(sizes)) == 4
    assert prepare(place.flow.then(Write(str(place.dest))), str(place.dest), {0: 4}) is None
    assert not (place.dest / "twins").exists()


def test_equal_sizes_of_other_bytes_are_all_worked(place: Place) -> None:
    for number in range(3):
        place.put(f"{number}.png", 5, bytes([number]))
    place.run()
    assert place.times_worked() == [1, 1, 1]
    assert [row["twin_of"] for row in place.rows().values()] == [None] * 3


def test_an_operator_that_does_not_say_on_what_it_depends_shares_nothing(place: Place) -> None:
    for number in range(2):
        place.put(f"{number}.png", 1)
    place.run(flow=Flow((Fetch(), Undeclared(str(place.counts)))))
    assert place.times_worked() == [2]


KEYED: list[tuple[Operator, str, dict[str, Any], str, dict[str, Any], bool]] = [
    (Mirror(), "a.png", {}, "b.png", {"price": 2}, True),
    (GivenRegions(("column:boxes",)), "a.png", {"boxes": "[[0, 0, 9, 9]]"}, "b.png", {"boxes": "[[0, 0, 9, 9]]"}, True),
    (GivenRegions(("column:boxes",)), "a.png", {"boxes": "[[0, 0, 9, 9]]"}, "a.png", {"boxes": "[[0, 0, 9, 8]]"}, False),
    (Select(RULES), "logos/a.png", {}, "logos/b.png", {}, True),
    (Select(RULES), "logos/a.png", {}, "photos/a.png", {}, False),
    (Select(RULES), "photos/a.png", {"seller": "one"}, "photos/a.png", {"seller": "two"}, False),
]


@pytest.mark.parametrize(("operator", "path", "own", "other_path", "other_own", "is_shared"), KEYED)
def test_images_share_a_result_only_under_the_same_rules_and_regions(
    operator: Operator, path: str, own: dict[str, Any], other_path: str, other_own: dict[str, Any], is_shared: bool
) -> None:
    shared = Sharing("", (operator,))
    keys = shared.key("ab", path, own), shared.key("ab", other_path, other_own)
    assert None not in keys
    assert (keys[0] == keys[1]) is is_shared
    assert shared.key("cd", path, own) != keys[0]


@pytest.mark.parametrize("operator", [GivenMasks("masks"), GivenRegions(("boxes.json",)), Undeclared()])
def test_what_is_given_by_file_name_is_never_shared(operator: Operator) -> None:
    assert Sharing("", (Mirror(), operator)).key("ab", "a.png", {}) is None


def test_the_flows_of_the_product_share_results() -> None:
    for shipped in (*(erase_text(Fills(PRESETS[name])) for name in PRESETS), find_text("out"), enlarge_pictures()):
        assert Sharing("", tuple(each for each in shipped.operators if not each.storage)).key("ab", "a", {}) is not None


def test_failures_that_lie_in_the_bytes_are_codes_and_storage_is_none_of_them() -> None:
    assert CODES.keys() >= SHARED_CODES
    assert not SHARED_CODES & {
        "storage_error",
        "access_denied",
        "disk_full",
        "output_path_conflict",
        "key_missing",
        "operator_error",
    }


def on_s3(s3: S3, place: Place, bucket: str) -> tuple[str, str]:
    """The pictures of a place in a bucket, and a destination in another one."""
    files: Any = s3.files()
    for name in (f"{bucket}-in", f"{bucket}-out"):
        files.mkdir(name)
    files.pipe({f"{bucket}-in/{file.name}": file.read_bytes() for file in place.source.iterdir()})
    return f"s3://{bucket}-in", f"s3://{bucket}-out/run"


@pytest.mark.usefixtures("without_ray")
def test_twins_in_an_object_store_are_worked_once_in_this_run_and_the_next(s3: S3, place: Place) -> None:
    data = [place.put(f"{number}.png", number % 2) for number in range(6)][:2]
    source, dest = on_s3(s3, place, "twins")
    assert run(place.flow, source, dest, FUSED).verdicts == {"edited": 6}
    assert place.times_worked() == [1, 1]
    assert [storage.read(f"{dest}/images/{number}.png") for number in range(6)] == [mirrored(each) for each in data] * 3
    assert not [name for name in storage.list_paths(dest) if "/twins/" in name]
    storage.write(f"{source}/7.png", data[1])
    assert run(place.flow, source, dest, FUSED).worked == 1
    assert place.times_worked() == [1, 1]
    assert storage.read(f"{dest}/images/7.png") == mirrored(data[1])
    rows = ledger.read(dest).to_pylist()
    assert sum(row["twin_of"] is not None for row in rows) == 5


def test_an_object_store_that_lists_checksums_shows_that_equal_sizes_are_no_twins(s3: S3, place: Place) -> None:
    for number in range(4):
        place.put(f"{number}.png", 5, bytes([number]))
    source, dest = on_s3(s3, place, "sizes")
    index.build(source, dest)
    assert prepare(place.flow.then(Write(dest)), dest, {0: 4}) is None
    storage.write(f"{source}/9.png", (place.source / "0.png").read_bytes())
    sizes = index.build(source, dest)
    shared = prepare(place.flow.then(Write(dest)), dest, sizes)
    assert shared is not None
    suspects = sharing._suspects(shared.folder)
    rows = [row for shard in sizes for row in index.read_shard(dest, shard).to_pylist()]
    assert sorted(row["path"] for row in rows if suspects.has(row["image_id"])) == ["0.png", "9.png"]


@pytest.mark.usefixtures("ray_here")
def test_pictures_with_text_are_edited_once_with_the_bytes_that_each_would_get_alone(
    tmp_path: Path, pictures: Pictures
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(10):
        pictures.strip(number % 2, f"NUMBER {number % 2}").save(tmp_path / "in" / f"{number}.png")
    fast = erase_text(Fills(PRESETS["fast"], accept="best"))
    summary = run(fast, str(tmp_path / "in"), str(tmp_path / "out"), FUSED)
    rows = sorted(ledger.read(str(tmp_path / "out")).to_pylist(), key=lambda row: row["path"])
    assert summary.verdicts == {"edited": 10}
    assert summary.texts == {name: 5 * sum(row["texts"][name] for row in rows[:2]) for name in rows[0]["texts"]}
    assert sum(row["twin_of"] is None for row in rows) == 2
    for row in rows:
        alone = run(fast, row["uri"], str(tmp_path / "alone" / row["path"]), FUSED)
        assert alone.verdicts == {"edited": 1}
        (single,) = ledger.read(str(tmp_path / "alone" / row["path"])).to_pylist()
        assert Path(row["output_uri"]).read_bytes() == Path(single["output_uri"]).read_bytes()
        assert row["output_sha256"] == single["output_sha256"]
        assert row["regions"] == single["regions"]


def test_masks_that_are_found_are_copied_to_every_image(tmp_path: Path, pictures: Pictures) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        pictures.strip(1, "NUMBER 1").save(tmp_path / "in" / name)
    dest = str(tmp_path / "out")
    run(find_text(dest), str(tmp_path / "in"), dest, FUSED)
    rows = ledger.read(dest).to_pylist()
    assert sorted(row["twin_of"] is None for row in rows) == [False, True]
    assert [Path(dest, "masks", f"{row['path']}.png").read_bytes() for row in rows].count(
        Path(rows[0]["output_uri"]).read_bytes()
    ) == 2
