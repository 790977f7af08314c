"""Each picture is handed to one reviewer, until the lease expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flows.review.leases import Leases


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_picture_is_held_by_one_seat_until_it_is_given_back_or_the_lease_expires() -> None:
    clock = Clock()
    leases = Leases(90.0, clock)
    assert leases.take("a", "seat 1", "ana") is None
    other = leases.take("a", "seat 2", "ana")
    assert other is not None
    assert (other.who, leases.held_by_others("seat 2")) == ("ana", {"a": "ana"})
    assert leases.held_by_others("seat 1") == {}
    clock.now = 80.0
    assert leases.take("a", "seat 1", "ana") is None, "a sign of life makes it longer"
    clock.now = 160.0
    assert leases.take("a", "seat 2", "ben") is not None
    clock.now = 170.0
    assert leases.take("a", "seat 2", "ben") is None, "it has expired"
    leases.give_back("a", "seat 1")
    assert leases.take("a", "seat 1", "ana") is not None, "only its holder gives it back"
    leases.give_back("a", "seat 2")
    assert leases.take("a", "seat 1", "ana") is None


def test_of_many_at_once_one_gets_it() -> None:
    leases = Leases()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda seat: leases.take("a", f"{seat}", "ana"), range(200)))
    assert results.count(None) == 1
