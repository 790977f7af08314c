"""One run at a time holds the lease of a destination."""

import json
import multiprocessing
import os
import socket
import threading
import time

import psutil
import pytest

from operators.ledger.lease import Lease
from operators.rows.failure import RunError
from operators.storage import files as storage


@pytest.fixture
def dest(tmp_path):
    return str(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(Lease, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(Lease, "EXPIRY_SECONDS", 0.5)


def put_lease(dest, **content):
    holder = {"owner": "other", "host": socket.gethostname(), "pid": os.getpid(), "started": 0.0, "renewed": 0.0, **content}
    storage.write(storage.join(dest, "lease.json"), json.dumps(holder).encode())


def test_a_lease_exists_only_while_it_is_held(dest):
    with Lease(dest).hold():
        holder = json.loads(storage.read(storage.join(dest, "lease.json")))
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
    assert not storage.exists(storage.join(dest, "lease.json"))
    with Lease(dest).hold():
        pass


def test_a_second_holder_is_refused_while_the_first_renews(dest, quick):
    with Lease(dest).hold() as first:
        with pytest.raises(RunError) as caught, Lease(dest).hold():
            pass
        assert (caught.value.code, caught.value.exit_code) == ("destination_in_use", 3)
        assert not first.lost.is_set()
    with Lease(dest).hold():
        pass


def test_the_lease_of_a_dead_process_is_taken_at_once(dest):
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    started = psutil.Process(process.pid).create_time()
    pid = process.pid
    process.join()
    put_lease(dest, pid=pid, started=started)
    before = time.monotonic()
    with Lease(dest).hold():
        assert time.monotonic() - before < 1


def test_a_process_that_only_inherited_the_number_does_not_hold_the_lease(dest):
    put_lease(dest, pid=os.getpid(), started=psutil.Process().create_time() - 3600)
    before = time.monotonic()
    with Lease(dest).hold():
        assert time.monotonic() - before < 1


def test_the_lease_of_another_host_expires_when_it_is_not_renewed(dest, quick):
    put_lease(dest, host="elsewhere")
    with Lease(dest).hold():
        assert json.loads(storage.read(storage.join(dest, "lease.json")))["host"] == socket.gethostname()


def test_a_lease_given_back_while_another_run_waits_is_free(dest):
    put_lease(dest, host="elsewhere")
    threading.Timer(0.3, lambda: storage.remove(storage.join(dest, "lease.json"))).start()
    with Lease(dest).hold():
        assert json.loads(storage.read(storage.join(dest, "lease.json")))["host"] == socket.gethostname()


def test_an_unreadable_lease_does_not_lock_the_destination_for_good(dest, quick):
    storage.write(storage.join(dest, "lease.json"), b"half a le")
    with Lease(dest).hold():
        assert json.loads(storage.read(storage.join(dest, "lease.json")))["host"] == socket.gethostname()


def test_a_holder_learns_that_it_lost_its_lease_and_leaves_the_other_one_alone(dest, quick):
    with Lease(dest).hold() as lease:
        put_lease(dest, owner="usurper")
        assert lease.lost.wait(timeout=5)
    assert json.loads(storage.read(storage.join(dest, "lease.json")))["owner"] == "usurper"


def test_the_real_lease_is_renewed_well_before_it_expires():
    assert Lease.RENEWAL_SECONDS * 3 <= Lease.EXPIRY_SECONDS
