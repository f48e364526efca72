"""The registry of workers, and their heartbeat [194-206]."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import WorkerInfo
from tests.support import FakeClock, claim, drain, info


def about(backend: Backend, worker: int) -> WorkerInfo:
    found: WorkerInfo = backend.list_workers(ids=[worker]).rows[0]
    return found


@pytest.mark.minion(194)
def test_a_worker_keeps_its_id(backend: Backend) -> None:
    worker = backend.register_worker()

    assert worker > 0
    assert backend.register_worker(worker) == worker
    assert backend.list_workers().total == 1


@pytest.mark.minion(195)
def test_a_worker_says_where_it_is_and_since_when(backend: Backend, clock: FakeClock) -> None:
    worker = backend.register_worker(status={"queues": ["default"]})

    seen = about(backend, worker)

    assert (seen.id, seen.host, seen.pid) == (worker, socket.gethostname(), os.getpid())
    assert seen.started == seen.notified == pytest.approx(clock.wall())
    assert (seen.status, seen.jobs) == ({"queues": ["default"]}, [])


@pytest.mark.minion(196)
def test_a_heartbeat_moves_only_the_time_of_the_last_one(
    backend: Backend, clock: FakeClock
) -> None:
    worker = backend.register_worker(status={"a": 1})
    before = about(backend, worker)
    clock.advance(30)

    backend.register_worker(worker)

    after = about(backend, worker)
    assert after.notified == pytest.approx(before.notified + 30)
    assert (after.started, after.host, after.pid) == (before.started, before.host, before.pid)
    assert after.status == {"a": 1}


@pytest.mark.minion(197)
def test_a_status_replaces_the_one_before(backend: Backend) -> None:
    worker = backend.register_worker(status={"a": 1})

    backend.register_worker(worker, status={"b": {"c": [2]}})
    assert about(backend, worker).status == {"b": {"c": [2]}}
    backend.register_worker(worker)
    assert about(backend, worker).status == {"b": {"c": [2]}}
    backend.register_worker(worker, status={})
    assert about(backend, worker).status == {}


@pytest.mark.minion(198)
def test_a_worker_that_unregisters_is_gone(backend: Backend) -> None:
    worker, other = backend.register_worker(), backend.register_worker()

    backend.unregister_worker(worker)

    assert [seen.id for seen in backend.list_workers().rows] == [other]
    assert backend.list_workers(ids=[worker]).total == 0


def test_unregistering_a_worker_that_is_not_there_does_nothing(backend: Backend) -> None:
    backend.unregister_worker(4711)

    assert backend.list_workers().total == 0


@pytest.mark.minion(199)
def test_a_worker_that_registers_again_after_unregistering_has_a_new_id(backend: Backend) -> None:
    worker = backend.register_worker()
    backend.unregister_worker(worker)

    assert backend.register_worker() > worker


@pytest.mark.minion(200)
def test_a_worker_that_was_declared_dead_comes_back_under_its_id_without_its_jobs(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")
    claim(backend, worker)
    backend.broadcast("hello")
    clock.advance(121)
    backend.repair()
    assert backend.list_workers().total == 0

    assert backend.register_worker(worker, status={"back": True}) == worker

    seen = about(backend, worker)
    assert seen.started == pytest.approx(clock.wall())
    assert (seen.jobs, seen.status) == ([], {"back": True})
    assert backend.receive(worker) == []
    assert (info(backend, job_id).state, info(backend, job_id).worker) == ("failed", worker)
    assert not backend.finish_job(job_id, 0)
    assert claim(backend, worker, id=backend.enqueue("foo"))


@pytest.mark.minion(200)
def test_the_id_of_a_worker_that_came_back_is_not_given_to_another(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    clock.advance(121)
    backend.repair()
    backend.register_worker(worker)

    assert backend.register_worker() != worker
    assert backend.list_workers().total == 2


@pytest.mark.minion(201)
def test_workers_are_listed_newest_first(backend: Backend) -> None:
    ids = [backend.register_worker() for _ in range(5)]

    def listed(*page: int, **filters: Any) -> tuple[list[int], int]:
        answer = backend.list_workers(*page, **filters)
        return [seen.id for seen in answer["workers"]], answer["total"]

    assert listed() == (ids[::-1], 5)
    assert listed(1, 2) == ([ids[3], ids[2]], 5)
    assert listed(0, 100, before=ids[2]) == ([ids[1], ids[0]], 2)
    assert listed(ids=[ids[0], str(ids[4]), ids[0], 4711]) == ([ids[4], ids[0]], 2)
    assert listed(0, 1, ids=ids[1:4], before=ids[3]) == ([ids[2]], 2)
    assert listed(ids=[]) == ([], 0)


@pytest.mark.minion(202)
def test_two_workers_of_one_process_have_their_own_ids(backend: Backend) -> None:
    first, second = backend.register_worker(), backend.register_worker()

    assert first < second
    assert about(backend, first).pid == about(backend, second).pid == os.getpid()


@pytest.mark.minion(203)
def test_workers_are_busy_or_not(backend: Backend) -> None:
    busy, idle = backend.register_worker(), backend.register_worker()
    ids = [backend.enqueue("foo"), backend.enqueue("foo")]
    assert drain(backend, busy) == ids

    def counted() -> list[Any]:
        stats = backend.stats()
        return [stats[name] for name in ("workers", "active_workers", "inactive_workers")]

    assert counted() == [2, 1, 1]
    backend.unregister_worker(idle)
    assert counted() == [1, 1, 0]
    backend.finish_job(ids[0], 0)
    assert counted() == [1, 1, 0]
    backend.finish_job(ids[1], 0)
    assert counted() == [1, 0, 1]


@pytest.mark.minion(204)
def test_a_worker_that_vanished_with_a_job_counts_as_busy_until_repair(
    backend: Backend, worker: int
) -> None:
    backend.enqueue("foo")
    claim(backend, worker)

    backend.unregister_worker(worker)

    stats = backend.stats()
    assert (stats["active_workers"], stats["active_jobs"]) == (1, 1)
    assert (stats["workers"], stats["inactive_workers"]) == (0, -1)
    backend.repair()
    stats = backend.stats()
    assert (stats["active_workers"], stats["active_jobs"], stats["inactive_workers"]) == (0, 0, 0)


@pytest.mark.minion(206)
def test_a_worker_that_does_not_beat_stays_listed_until_somebody_repairs(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    clock.advance(100_000)
    assert [seen.id for seen in backend.list_workers().rows] == [worker]

    backend.repair()

    assert backend.list_workers().rows == []


def test_a_status_is_copied(backend: Backend) -> None:
    status: dict[str, Any] = {"limits": {"foo": 1}}
    worker = backend.register_worker(status=status)

    status["limits"]["foo"] = 2
    about(backend, worker).status["limits"] = None

    assert about(backend, worker).status == {"limits": {"foo": 1}}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ([1], InvalidType),
        ("idle", InvalidType),
        ({"a": b"bytes"}, InvalidType),
        ({"a": float("nan")}, InvalidValue),
    ],
    ids=repr,
)
def test_a_status_that_is_no_json_object_is_refused(
    backend: Backend, status: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.register_worker(status=status)

    assert backend.list_workers().total == 0
