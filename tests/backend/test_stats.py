"""The thirteen counters [229-237]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from tests.support import FakeClock, claim, drain, failed_job, finished_job, job_in

FIELDS = {
    "active_jobs",
    "active_locks",
    "active_workers",
    "delayed_jobs",
    "enqueued_jobs",
    "failed_jobs",
    "finished_jobs",
    "inactive_jobs",
    "inactive_schedules",
    "inactive_workers",
    "schedules",
    "uptime",
    "workers",
}


def counted(backend: Backend, *names: str) -> list[Any]:
    stats = backend.stats()
    return [stats[name] for name in names]


@pytest.mark.minion(229, 236)
def test_an_empty_queue_counts_nothing(backend: Backend, clock: FakeClock) -> None:
    clock.advance(60)

    stats = backend.stats()

    assert set(stats) == FIELDS
    assert stats.pop("uptime") > 0
    assert set(stats.values()) == {0}


@pytest.mark.minion(230)
def test_jobs_ever_enqueued_stay_counted(backend: Backend, worker: int) -> None:
    first = backend.enqueue("foo")
    before = backend.stats()["enqueued_jobs"]
    assert before >= 1

    second = backend.enqueue("foo")
    backend.remove_job(first)
    backend.remove_job(second)

    assert backend.stats()["enqueued_jobs"] >= before + 1


@pytest.mark.minion(230)
def test_without_refused_jobs_the_count_is_exact(backend: Backend) -> None:
    for expected in (1, 2):
        backend.enqueue("foo")
        assert backend.stats()["enqueued_jobs"] == expected


@pytest.mark.minion(231)
def test_jobs_are_counted_by_their_state(backend: Backend, worker: int) -> None:
    backend.enqueue("foo")
    backend.enqueue("foo")
    claim(backend, worker)

    assert counted(backend, "active_jobs", "inactive_jobs", "active_workers", "workers") == [1] * 4
    finished_job(backend, worker)
    failed_job(backend, worker)
    failed_job(backend, worker)
    assert counted(backend, "finished_jobs", "failed_jobs") == [1, 2]


@pytest.mark.minion(232)
def test_a_worker_with_two_jobs_is_one_worker(backend: Backend, worker: int) -> None:
    backend.enqueue("foo")
    backend.enqueue("foo")
    drain(backend, worker)

    assert counted(backend, "active_jobs", "active_workers") == [2, 1]


@pytest.mark.minion(233)
def test_a_retried_failure_is_no_longer_a_failure(backend: Backend, worker: int) -> None:
    job_id = failed_job(backend, worker)
    assert counted(backend, "failed_jobs", "inactive_jobs") == [1, 0]

    backend.retry_job(job_id, 0)

    assert counted(backend, "failed_jobs", "inactive_jobs") == [0, 1]


@pytest.mark.minion(234, 235)
def test_delayed_jobs_are_inactive_jobs_too(backend: Backend, clock: FakeClock) -> None:
    backend.enqueue("foo")
    backend.enqueue("foo", delay=100)
    assert counted(backend, "inactive_jobs", "delayed_jobs") == [2, 1]

    clock.advance(100)

    assert counted(backend, "inactive_jobs", "delayed_jobs") == [2, 0]


@pytest.mark.minion(234, 235)
def test_a_job_that_waits_for_a_parent_counts_as_delayed(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    backend.enqueue("bar", parents=[parent])
    assert counted(backend, "inactive_jobs", "delayed_jobs") == [2, 1]
    claim(backend, worker)

    backend.finish_job(parent, 0)

    assert counted(backend, "inactive_jobs", "delayed_jobs") == [1, 0]


def test_a_job_that_waits_for_a_parent_and_a_delay_is_counted_once(backend: Backend) -> None:
    parent = backend.enqueue("foo")
    backend.enqueue("bar", parents=[parent], delay=60)

    assert counted(backend, "inactive_jobs", "delayed_jobs") == [2, 1]


@pytest.mark.minion(235)
def test_jobs_of_all_queues_and_priorities_are_counted(backend: Backend, worker: int) -> None:
    for number in range(4):
        backend.enqueue("foo", queue=f"q{number % 2}", priority=number)
    job_in("active", backend, worker, queue="other")

    assert counted(backend, "inactive_jobs", "active_jobs") == [4, 1]


@pytest.mark.minion(237)
def test_uptime_grows_with_the_age_of_the_spool(backend: Backend, clock: FakeClock) -> None:
    before = backend.stats()["uptime"]

    clock.advance(60)

    assert backend.stats()["uptime"] - before == pytest.approx(60, abs=1)


def test_queues_are_counted_by_what_their_jobs_wait_for(backend: Backend, clock: FakeClock) -> None:
    parent = backend.enqueue("foo", queue="a")
    backend.enqueue("foo", queue="a", delay=10)
    backend.enqueue("foo", queue="a", parents=[parent])
    backend.enqueue("foo", queue="b" * 300)
    backend.enqueue("foo", queue="a", expire=5)
    backend.enqueue("foo", queue="c", expire=5)
    clock.advance(6)

    assert backend.queues() == {
        "a": {"ready": 1, "delayed": 1, "blocked": 1, "held": 0},
        "b" * 300: {"ready": 1, "delayed": 0, "blocked": 0, "held": 0},
    }
    assert backend.now() == clock.wall()
