"""Held jobs: inactive, and claimed by nobody until they are released."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType
from spoolq.model import State
from tests.support import FakeClock, drain, failed_job, finished_job, info, job_in, lookup


def test_a_held_job_is_inactive_and_is_not_claimed(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    other = backend.enqueue("foo")

    assert backend.hold_job(job_id)

    assert (info(backend, job_id).state, info(backend, job_id).held) == ("inactive", True)
    assert backend.dequeue(worker, id=job_id) is None
    assert drain(backend, worker) == [other]


def test_a_job_may_be_held_from_the_start(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", hold=True, priority=7)

    assert info(backend, job_id).held
    assert drain(backend, worker) == []


def test_a_batch_may_be_held_from_the_start(backend: Backend, worker: int) -> None:
    ids = backend.enqueue_many(["foo"] * 3, hold=True)

    assert [job.held for job in backend.list_jobs().rows] == [True] * 3
    assert drain(backend, worker) == []
    assert [backend.unhold_job(id_) for id_ in ids] == [True] * 3
    assert drain(backend, worker) == ids


@pytest.mark.parametrize("hold", ["yes", 2, None])
def test_whether_it_is_held_is_a_yes_or_a_no(backend: Backend, hold: Any) -> None:
    with pytest.raises(InvalidType):
        backend.enqueue("foo", hold=hold)
    with pytest.raises(InvalidType):
        backend.enqueue_many(["foo"], hold=hold)

    assert backend.list_jobs().total == 0


def test_a_released_job_runs_in_its_old_turn(backend: Backend, worker: int) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    backend.hold_job(first)

    assert backend.unhold_job(first)

    assert not info(backend, first).held
    assert drain(backend, worker) == [first, second]


def test_holding_a_held_job_is_fine_and_releasing_it_twice_is_not(backend: Backend) -> None:
    job_id = backend.enqueue("foo")

    assert backend.hold_job(job_id)
    assert backend.hold_job(job_id)
    assert backend.unhold_job(job_id)
    assert not backend.unhold_job(job_id)


@pytest.mark.parametrize("state", ["active", "failed", "finished"])
def test_what_is_not_inactive_cannot_be_held(backend: Backend, worker: int, state: State) -> None:
    job_id = job_in(state, backend, worker)

    assert not backend.hold_job(job_id)
    assert not backend.unhold_job(job_id)

    assert (info(backend, job_id).state, info(backend, job_id).held) == (state, False)


@pytest.mark.parametrize("id", [4711, 0, -1])
def test_a_missing_job_can_be_neither_held_nor_released(backend: Backend, id: int) -> None:
    assert not backend.hold_job(id)
    assert not backend.unhold_job(id)


def test_a_released_job_still_waits_for_its_time(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=60, hold=True)
    clock.advance(30)
    backend.unhold_job(job_id)

    assert drain(backend, worker) == []
    clock.advance(30)
    assert drain(backend, worker) == [job_id]


def test_a_delay_that_runs_out_does_not_release_a_held_job(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=60)
    backend.hold_job(job_id)
    clock.advance(61)

    assert drain(backend, worker) == []
    assert info(backend, job_id).held


def test_a_held_child_stays_held_when_its_parent_finishes(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent])
    backend.hold_job(child)
    drain(backend, worker)
    backend.finish_job(parent, 0)

    assert drain(backend, worker) == []
    backend.unhold_job(child)
    assert drain(backend, worker) == [child]


def test_a_released_child_still_waits_for_its_parent(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent], hold=True)
    backend.unhold_job(child)

    assert info(backend, parent).children == [child]
    assert drain(backend, worker) == [parent]
    backend.finish_job(parent, 0)
    assert drain(backend, worker) == [child]


def test_a_held_parent_keeps_its_children_waiting(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo", hold=True)
    child = backend.enqueue("bar", parents=[parent])

    assert drain(backend, worker) == []
    backend.remove_job(parent)
    assert drain(backend, worker) == [child]


def test_a_held_child_keeps_its_finished_parent(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = finished_job(backend, worker)
    backend.enqueue("bar", parents=[parent], hold=True)
    clock.advance(backend.remove_after + 1)
    backend.repair()

    assert lookup(backend, parent) is not None


def test_a_held_job_expires(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=60, hold=True)
    clock.advance(60)

    assert lookup(backend, job_id) is None
    assert not backend.hold_job(job_id)
    assert not backend.unhold_job(job_id)
    backend.repair()
    assert not backend.remove_job(job_id)


def test_a_held_job_is_never_stuck_and_is_not_overdue_when_it_is_released(
    backend: Backend, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", hold=True)
    clock.advance(backend.stuck_after + 1)
    backend.repair()
    assert info(backend, job_id).state == "inactive"

    backend.unhold_job(job_id)
    backend.repair()

    assert info(backend, job_id).delayed == clock.wall()
    assert drain(backend, backend.register_worker()) == [job_id]


def test_a_retry_releases_a_held_job(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", hold=True)

    assert backend.retry_job(job_id, 0)

    assert not info(backend, job_id).held
    assert drain(backend, worker) == [job_id]


def test_a_retried_job_can_be_held_before_its_next_attempt(backend: Backend, worker: int) -> None:
    job_id = failed_job(backend, worker)
    backend.retry_job(job_id, 0, delay=60)

    assert backend.hold_job(job_id)
    assert info(backend, job_id).retries == 1


def test_a_held_job_can_be_annotated_and_removed(backend: Backend) -> None:
    job_id = backend.enqueue("foo", hold=True)

    assert backend.note(job_id, {"why": "waits for Ann"})
    assert info(backend, job_id).held
    assert backend.remove_job(job_id)
    assert lookup(backend, job_id) is None


def test_held_jobs_are_counted_apart_and_are_not_ready(backend: Backend) -> None:
    backend.enqueue("foo")
    backend.enqueue("foo", hold=True)
    backend.enqueue("foo", hold=True, delay=60)

    assert backend.queues() == {"default": {"ready": 1, "delayed": 0, "blocked": 0, "held": 2}}
    stats = backend.stats()
    assert (stats["inactive_jobs"], stats["delayed_jobs"]) == (3, 2)
    assert backend.list_jobs(states=["inactive"], queues=["default"]).total == 3


def test_a_held_job_of_an_odd_queue_is_found_by_its_id(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", queue="../x", priority=-5, hold=True)

    assert backend.unhold_job(job_id)
    assert drain(backend, worker, queues=["../x"]) == [job_id]
