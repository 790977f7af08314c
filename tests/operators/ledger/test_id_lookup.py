"""Sets of hashes, and the lookup of indexed versions of a URI."""

import os

import numpy as np

from operators.ledger import id_lookup
from operators.ledger.id_lookup import IdSet, IndexedIds, binary, hashes

ENDING_IN_ZEROS = "ab" * 8 + "00" * 8


def test_equal_texts_have_equal_hashes_of_sixteen_bytes():
    first, second, third = hashes(["s3://b/a", "s3://b/a", "s3://b/ä"])
    assert first == second != third
    assert hashes(["x"]).dtype.itemsize == 16


def test_a_set_reports_new_hashes_and_of_equal_ones_the_first():
    seen = IdSet()
    assert seen.new(hashes(["a", "b", "a"])) == [True, True, False]
    assert seen.new(hashes(["b", "c"])) == [False, True]


def test_a_large_set_forgets_nothing(monkeypatch):
    monkeypatch.setattr(id_lookup, "LARGEST_UNSORTED", 100)
    seen, values = IdSet(), np.frombuffer(os.urandom(16 * 5000), "S16")
    for start in range(0, 5000, 70):
        assert all(seen.new(values[start : start + 70]))
    for start in range(0, 5000, 333):
        assert not any(seen.new(values[start : start + 333]))


def test_an_index_gives_the_versions_of_a_uri():
    ids = {uri: ENDING_IN_ZEROS if uri == "b" else uri.encode().hex() * 16 for uri in "abc"}
    index = IndexedIds.of([(3, hashes("ab"), binary([ids["a"], ids["b"]])), (5, hashes("cb"), binary([ids["c"], "11" * 16]))])
    versions_by_uri = index.versions(hashes("abcd"))
    assert [[(value.ljust(16, b"\0").hex(), shard) for value, shard in versions] for versions in versions_by_uri] == [
        [(ids["a"], 3)],
        [(ENDING_IN_ZEROS, 3), ("11" * 16, 5)],
        [(ids["c"], 5)],
        [],
    ]


def test_an_empty_index_has_no_versions():
    assert IndexedIds.of([]).versions(hashes("ab")) == [[], []]
