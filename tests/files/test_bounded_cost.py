"""No operation on one job costs more in a large spool than in a small one."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq.errors import DuplicateJob
from spoolq.files.store import FileBackend
from tests.files.counting import Costs, Counting, counted
from tests.support import FakeClock, claim

KEYS = itertools.count()
FEW, MANY = 10, 20_000


class Crowd:
    """A spool with jobs in every place, most of all of those that are ready."""

    def __init__(self, root: Path, ready: int) -> None:
        jobs = min(ready, 2_000)
        self.clock = FakeClock()
        self.files = FileBackend(
            str(root), clock=self.clock, durability="none", filesystem=Counting
        )
        self.worker = self.files.register_worker()
        ended = self.files.enqueue_many(["foo"] * jobs)
        for _ in ended:
            claim(self.files, self.worker)
        self.files.finish_jobs([(id_, 0, None) for id_ in ended])
        self.ended = ended
        self.waiting = self.files.enqueue_many(["foo"] * ready)
        self.files.enqueue_many(["foo"] * jobs, queue="later", delay=40_000)
        self.files.enqueue_many(["foo"] * jobs, queue="other", parents=[self.waiting[-1]])
        self.clock.advance(1)
        self.use()

    def use(self) -> None:
        """Do everything once, so that what is remembered is remembered, and pay what is owed."""
        job = self.files.enqueue("foo")
        self.files.dequeue(self.worker)
        self.files.finish_job(self.waiting[0], 0)
        self.files.list_jobs(ids=[job])
        self.files._tokens.tidy()


@pytest.fixture(scope="module")
def crowds() -> Iterator[tuple[Crowd, Crowd]]:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="spoolq-", dir=memory) as above:
        yield Crowd(Path(above) / "small", FEW), Crowd(Path(above) / "large", MANY)


def look_up(crowd: Crowd, id: int) -> None:
    [job] = crowd.files.list_jobs(ids=[id]).rows
    assert job.id == id


def claim_and_finish(crowd: Crowd) -> None:
    claimed = claim(crowd.files, crowd.worker)
    assert crowd.files.finish_job(claimed["id"], 0)


def fail_and_retry(crowd: Crowd) -> None:
    claimed = claim(crowd.files, crowd.worker)
    assert crowd.files.fail_job(claimed["id"], 0)
    assert crowd.files.retry_job(claimed["id"], 0, queue="done")


def duplicate(crowd: Crowd) -> None:
    crowd.files.enqueue("foo", unique="k", unique_for=1e6, replace=True, delay=100)
    with pytest.raises(DuplicateJob):
        crowd.files.enqueue("foo", unique="k")


def hold_and_release(crowd: Crowd) -> None:
    assert crowd.files.hold_job(crowd.waiting[-4])
    assert crowd.files.unhold_job(crowd.waiting[-4])


def claim_from_a_queue_with_a_limit(crowd: Crowd) -> None:
    crowd.files.enqueue("foo", queue="limited")
    crowd.files.set_queue("limited", limit=3)
    claimed = claim(crowd.files, crowd.worker, queues=["limited"])
    assert crowd.files.release_job(claimed["id"], 0)


def edit(crowd: Crowd) -> None:
    assert crowd.files.edit_job(crowd.files.enqueue("foo", queue="done"), 0, args=[2])


OPERATIONS: dict[str, Callable[[Crowd], Any]] = {
    "enqueue": lambda crowd: crowd.files.enqueue("foo"),
    "enqueue later": lambda crowd: crowd.files.enqueue("foo", delay=100),
    "enqueue a child": lambda crowd: crowd.files.enqueue("foo", parents=[crowd.ended[0]]),
    "enqueue a unique job": lambda crowd: crowd.files.enqueue("foo", unique=f"{next(KEYS)}"),
    "enqueue a duplicate": duplicate,
    "enqueue with a limit": lambda crowd: crowd.files.enqueue("foo", concurrency=("k", 9)),
    "enqueue with priority": lambda crowd: crowd.files.enqueue("foo", priority=7, queue="done"),
    "claim and finish": claim_and_finish,
    "fail and retry": fail_and_retry,
    "look up one that waits": lambda crowd: look_up(crowd, crowd.waiting[-2]),
    "look up one that ended": lambda crowd: look_up(crowd, crowd.ended[1]),
    "enqueue held": lambda crowd: crowd.files.enqueue("foo", hold=True),
    "hold and release": hold_and_release,
    "edit": edit,
    "claim from a queue with a limit": claim_from_a_queue_with_a_limit,
    "note": lambda crowd: crowd.files.note(crowd.ended[2], {"k": 1}),
    "remove": lambda crowd: crowd.files.remove_job(crowd.waiting[-3]),
    "look up one that is missing": lambda crowd: crowd.files.list_jobs(ids=[10**9]),
    "heartbeat": lambda crowd: crowd.files.register_worker(crowd.worker),
    "lock": lambda crowd: crowd.files.lock("x", 60, limit=9),
    "an empty queue": lambda crowd: crowd.files.dequeue(crowd.worker, queues=["nothing"]),
    "the newest ten": lambda crowd: crowd.files.list_jobs(0, 10, states=["finished"]).rows,
}


def cost(crowd: Crowd, operation: Callable[[Crowd], Any]) -> Costs:
    """What it costs when it is done again and again: the cheapest of a few times, because now and
    then one of them pays for many, when it opens the next bucket."""
    found = []
    for _ in range(4):
        with counted() as costs:
            operation(crowd)
        found.append(costs)
    return min(found, key=lambda costs: (costs.calls, costs["entries"]))


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_twenty_thousand_jobs_cost_one_job_no_more_than_ten_do(
    crowds: tuple[Crowd, Crowd], operation: Callable[[Crowd], Any]
) -> None:
    small, large = (cost(crowd, operation) for crowd in crowds)

    # Buckets of the small one are not full: a listing may grow, to a bucket's size and no more.
    assert large.calls <= small.calls + 2, (small, large)
    assert large["entries"] <= small["entries"] + 2 * 256 + 64


@pytest.mark.slow
def test_no_directory_holds_more_names_than_a_bucket_may(crowds: tuple[Crowd, Crowd]) -> None:
    root = Path(crowds[1].files.root)
    widest = max(
        (len(list(path.iterdir())), str(path)) for path in root.rglob("*") if path.is_dir()
    )
    assert widest[0] <= 1024, widest


def test_a_claimer_lists_a_bucket_once_and_not_for_every_job(
    crowds: tuple[Crowd, Crowd],
) -> None:
    large = crowds[1]
    claim_and_finish(large)
    with counted() as costs:
        for _ in range(100):
            claim_and_finish(large)

    assert costs["list"] <= 3 * 100
    assert costs["entries"] <= 100 * 40


def test_the_newest_page_is_read_and_no_other(crowds: tuple[Crowd, Crowd]) -> None:
    large = crowds[1].files
    with counted() as costs:
        page = large.list_jobs(0, 10)

    assert len(page.rows) == 10
    assert costs["read"] <= 10
    assert costs["entries"] <= 4 * 256 + 300


def test_a_page_counts_its_total_only_when_it_is_asked(crowds: tuple[Crowd, Crowd]) -> None:
    large = crowds[1].files
    page = large.list_jobs(0, 10)
    with counted() as costs:
        assert page.total > MANY
    with counted() as again:
        assert page.total > MANY

    assert costs["read"] == 0
    assert again.calls == 0
