"""Buckets come and go with the jobs in them, while others are on their way into them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool
from tests.support import FakeClock, claim, drain, info


def buckets(root: Path, below: str = "inactive") -> set[str]:
    return {
        str(path.relative_to(root)) for path in (root / below).rglob("*") if path.name.isdigit()
    }


def idle(files: FileBackend, worker: int, clock: FakeClock, queue: str = "default") -> None:
    """Look for work in vain for as long as it takes to find a queue empty for good."""
    for _ in range(200):
        clock.advance(2)
        assert files.dequeue(worker, queues=[queue]) is None


def test_an_emptied_bucket_is_removed_and_made_again(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    files.enqueue_many(["foo"] * 600)
    assert len(drain(files, worker)) == 600
    idle(files, worker, clock)
    assert buckets(root) == set()

    job = files.enqueue("foo")
    assert claim(files, worker)["id"] == job


@pytest.mark.parametrize(
    "options", [{}, {"delay": 100}, {"parents": [1]}, {"priority": -7}], ids=repr
)
@pytest.mark.parametrize("together", [False, True], ids=["one", "batch"])
def test_a_bucket_that_vanishes_under_a_publication_is_made_again(
    open_spool: OpenSpool, clock: FakeClock, options: dict[str, Any], together: bool
) -> None:
    """A claimer removes the empty bucket between `mkdir` and the rename into it (fault 65)."""
    files = open_spool()
    files.enqueue("parent", delay=50)

    class Vanishing(Filesystem):
        times = 0

        def mkdir(self, path: str, *, sync: bool = True) -> bool:
            made = super().mkdir(path, sync=sync)
            if "/inactive/new" in path and Vanishing.times < 3:
                Vanishing.times += 1
                os.rmdir(path)
            return made

    other = open_spool(filesystem=Vanishing)
    options = {**options, "queue": "new"}
    job = other.enqueue_many(["foo"], **options)[0] if together else other.enqueue("foo", **options)

    assert Vanishing.times == 3
    assert info(files, job).state == "inactive"
    clock.advance(200)
    worker = files.register_worker()
    files.finish_job(claim(files, worker)["id"], 0)
    assert drain(files, worker, queues=["new"]) == [job]


def test_a_bucket_that_another_process_knows_of_is_made_again_when_it_is_gone(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    one, other = open_spool(), open_spool()
    worker = other.register_worker()
    for number in range(3):
        job = one.enqueue("foo")
        assert claim(other, worker)["id"] == job
        idle(other, worker, clock)
        assert buckets(Path(one.root)) == set(), number


def test_an_empty_shard_of_finished_jobs_is_removed_by_repair(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    files.enqueue_many(["foo"] * 300)
    files.finish_jobs([(id_, 0, None) for id_ in drain(files, worker)])
    assert buckets(root, "finished") == {"finished/0", "finished/1"}
    clock.advance(3 * 24 * 3600)
    files.repair()

    assert files.list_jobs().total == 0
    assert buckets(root, "finished") == set()


def test_claims_in_one_lane_cross_buckets_in_the_order_of_ids(
    files: FileBackend, worker: int
) -> None:
    first = files.enqueue_many(["foo"] * 300)
    second = files.enqueue_many(["foo"] * 300)
    single = [files.enqueue("foo") for _ in range(20)]

    assert drain(files, worker) == [*first, *second, *single]


def test_a_late_comer_in_a_bucket_that_was_passed_is_found(
    open_spool: OpenSpool, clock: FakeClock
) -> None:
    """An enqueuer that slept between taking its id and publishing it."""
    files = open_spool()
    worker = files.register_worker()

    class Sleepy(Filesystem):
        asleep = True

        def publish(self, staged: str, target: str, data: bytes) -> None:
            if Sleepy.asleep:
                Sleepy.asleep = False
                files.enqueue_many(["foo"] * 600)
                assert len(drain(files, worker)) == 600
            super().publish(staged, target, data)

    late = open_spool(filesystem=Sleepy).enqueue("late")
    clock.advance(2)

    assert late == 1
    assert claim(files, worker)["id"] == late


def test_an_empty_priority_that_comes_back_is_seen(
    files: FileBackend, worker: int, clock: FakeClock
) -> None:
    files.enqueue("foo", priority=5)
    drain(files, worker)
    idle(files, worker, clock)
    files.enqueue_many(["foo"] * 3)
    claim(files, worker)
    high = files.enqueue("foo", priority=5)

    assert claim(files, worker)["id"] == high
