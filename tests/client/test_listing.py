"""Listings: pages read as they are needed, newest first."""

from __future__ import annotations

import pytest

from spoolq import Spool
from spoolq.errors import InvalidType, InvalidValue


@pytest.mark.minion(369)
def test_pages_are_read_below_the_last_id_seen(spool: Spool) -> None:
    for _ in range(5):
        spool.worker().register()
    workers = spool.workers()
    workers.fetch = 2
    seen = [(worker.id, workers.before) for worker in workers]
    assert seen == [(5, 4), (4, 4), (3, 2), (2, 2), (1, 1)]


@pytest.mark.minion(370)
def test_a_page_is_read_only_when_nothing_is_left_of_the_last_one(spool: Spool) -> None:
    for _ in range(4):
        spool.enqueue("foo")
    jobs = spool.jobs()
    jobs.fetch = 2
    assert [jobs.before for _ in jobs] == [3, 3, 1, 1]


@pytest.mark.minion(371)
def test_ten_are_read_at_a_time(spool: Spool) -> None:
    for _ in range(12):
        spool.enqueue("foo")
    jobs = spool.jobs()
    assert next(jobs).id == 12
    assert jobs.before == 3


@pytest.mark.minion(372)
def test_the_end_stays_the_end(spool: Spool) -> None:
    spool.enqueue("foo")
    jobs = spool.jobs()
    assert next(jobs).id == 1
    assert next(jobs, None) is None
    assert next(jobs, None) is None


@pytest.mark.minion(373)
def test_every_job_is_visited_in_order(spool: Spool) -> None:
    for _ in range(25):
        spool.enqueue("foo")
    assert [job.id for job in spool.jobs()] == list(range(25, 0, -1))


@pytest.mark.minion(374)
def test_the_total_is_known_before_the_first_record(spool: Spool) -> None:
    assert spool.jobs().total == 0
    spool.enqueue_many(["foo"] * 12)
    jobs = spool.jobs()
    assert jobs.total == 12
    assert next(jobs).id == 12


@pytest.mark.minion(375)
def test_the_total_is_what_was_read_and_what_is_still_ahead(spool: Spool) -> None:
    registered = [spool.worker().register() for _ in range(5)]
    workers = spool.workers()
    workers.fetch = 2
    assert [next(workers).id, next(workers).id] == [5, 4]
    for gone in (registered[4], registered[3], registered[2]):
        gone.unregister()
    assert [worker.id for worker in workers] == [2, 1]
    assert workers.total == 4
    assert spool.workers().total == 2


@pytest.mark.minion(376)
def test_what_is_added_meanwhile_is_not_visited_and_what_is_removed_is_skipped(
    spool: Spool,
) -> None:
    enqueued = [spool.enqueue("foo") for _ in range(4)]
    jobs = spool.jobs()
    jobs.fetch = 2
    assert next(jobs).id == 4
    spool.enqueue("foo")
    assert enqueued[1].remove()
    assert [job.id for job in jobs] == [3, 1]


@pytest.mark.minion(377)
def test_named_ids_come_newest_first(spool: Spool) -> None:
    for _ in range(4):
        spool.enqueue("foo")
    jobs = spool.jobs(ids=iter([2, 4, 1]))
    jobs.fetch = 1
    assert [job.id for job in jobs] == [4, 2, 1]


# Minion's iterator writes into the options of its caller; ours are arguments.
@pytest.mark.minion(378)
def test_the_same_filters_make_a_second_listing_start_anew(spool: Spool) -> None:
    spool.enqueue_many(["foo", "bar", "foo"])
    tasks = ["foo"]
    assert [job.id for job in spool.jobs(tasks=tasks)] == [3, 1]
    assert [job.id for job in spool.jobs(tasks=tasks)] == [3, 1]
    assert tasks == ["foo"]


@pytest.mark.minion(363, 366)
def test_filters_of_jobs_combine(spool: Spool) -> None:
    spool.enqueue("foo", queue="a", notes={"k": 1})
    spool.enqueue("foo", queue="b")
    spool.enqueue("bar", queue="a", notes={"k": 1})
    found = spool.jobs(queues=["a"], notes=["k", "l"], states=["inactive"], tasks=["foo", "bar"])
    assert [job.id for job in found] == [3, 1]
    assert [job.id for job in spool.jobs(before=3)] == [2, 1]
    assert list(spool.jobs(states=["active"])) == []


def test_a_string_is_no_list_of_filters(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="queues must be a list"):
        spool.jobs(queues="default")


@pytest.mark.minion(367)
def test_an_unknown_state_is_an_error(spool: Spool) -> None:
    with pytest.raises(InvalidValue):
        list(spool.jobs(states=["done"]))


@pytest.mark.minion(185)
def test_locks_are_listed_newest_first(spool: Spool) -> None:
    for name in ("foo", "bar", "foo"):
        assert spool.lock(name, 3600, limit=2)
    assert [lock.name for lock in spool.locks()] == ["foo", "bar", "foo"]
    assert [lock.name for lock in spool.locks(names=["bar"])] == ["bar"]
    assert spool.locks().total == 3
    assert spool.locks(names=["baz"]).total == 0
