"""Jobs that nobody took in time [146-154]."""

from __future__ import annotations

import pytest

from spoolq.backend import Backend
from spoolq.model import State
from tests.conftest import MakeBackend
from tests.support import FakeClock, claim, drain, info, job_in, lookup


@pytest.mark.minion(146)
@pytest.mark.parametrize("state", ["active", "finished", "failed"])
def test_only_inactive_jobs_expire(
    backend: Backend, worker: int, clock: FakeClock, state: State
) -> None:
    job_id = job_in(state, backend, worker, expire=10)
    clock.advance(20)

    backend.repair()

    assert info(backend, job_id).state == state


@pytest.mark.minion(147)
def test_an_expired_job_is_no_longer_listed(backend: Backend, clock: FakeClock) -> None:
    expired, kept = backend.enqueue("foo", expire=10), backend.enqueue("foo")
    assert backend.list_jobs().total == 2

    clock.advance(10)

    assert lookup(backend, expired) is None
    assert [job.id for job in backend.list_jobs().rows] == [kept]
    assert backend.list_jobs().total == 1
    assert backend.list_jobs(states=["inactive"]).total == 1


@pytest.mark.minion(148)
def test_an_expired_job_is_stored_until_repair(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(10)
    assert backend.note(job_id, {"still": "here"})

    backend.repair()

    assert not backend.note(job_id, {"still": "here"})
    assert not backend.remove_job(job_id)


@pytest.mark.minion(149)
def test_repair_keeps_a_job_that_has_time_left(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(9)

    backend.repair()

    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(150)
def test_an_expired_job_is_not_counted_as_inactive(backend: Backend, clock: FakeClock) -> None:
    backend.enqueue("foo", expire=10)
    backend.enqueue("foo")
    assert backend.stats()["inactive_jobs"] == 2

    clock.advance(10)

    assert backend.stats()["inactive_jobs"] == 1


@pytest.mark.minion(152)
def test_an_expired_job_can_be_given_notes(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(10)

    assert backend.note(job_id, {"a": 1})

    backend.retry_job(job_id, 0, expire=10)
    assert info(backend, job_id).notes == {"a": 1}


@pytest.mark.minion(153)
def test_a_job_is_expired_from_the_very_moment_it_says(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(9)
    assert info(backend, job_id).id == job_id

    clock.advance(1)

    assert lookup(backend, job_id) is None
    assert backend.dequeue(worker) is None
    backend.repair()
    assert not backend.remove_job(job_id)


@pytest.mark.minion(154)
def test_an_automatic_retry_can_bring_back_a_job_that_has_expired(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(backoff=lambda _: 0)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=2, expire=10)
    claim(backend, worker)
    clock.advance(10)

    assert backend.fail_job(job_id, 0)

    assert lookup(backend, job_id) is None
    assert backend.dequeue(worker) is None
    assert backend.retry_job(job_id, 1, expire=10)
    assert info(backend, job_id).attempts == 1


def test_a_delayed_job_can_expire_before_it_is_due(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    backend.enqueue("foo", delay=60, expire=30)

    clock.advance(60)

    assert backend.dequeue(worker) is None
    assert backend.list_jobs().total == 0


def test_a_waiting_child_can_expire(backend: Backend, worker: int, clock: FakeClock) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent], expire=30)
    claim(backend, worker)
    clock.advance(30)

    backend.finish_job(parent, 0)

    assert drain(backend, worker) == []
    assert lookup(backend, child) is None
