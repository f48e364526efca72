"""Editing: a job that is not active is changed where it stands, and nothing is counted."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import State
from tests.support import FakeClock, claim, drain, finished_job, info, job_in, lookup


def test_what_a_job_is_given_can_be_changed(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", [1], {"a": 1}, notes={"x": 1, "y": 2})

    assert backend.edit_job(
        job_id,
        0,
        args=[2, {"b": []}],
        kwargs={"c": 3},
        attempts=4,
        timeout=9,
        lax=True,
        notes={"x": None, "z": 3},
    )

    job = info(backend, job_id)
    assert (job.args, job.kwargs, job.attempts) == ([2, {"b": []}], {"c": 3}, 4)
    assert (job.timeout, job.lax, job.notes) == (9, True, {"y": 2, "z": 3})
    assert (job.retries, job.retried) == (0, None)
    claimed = claim(backend, worker)
    assert (claimed["args"], claimed["timeout"]) == ([2, {"b": []}], 9)


def test_a_priority_changes_the_order(backend: Backend, worker: int) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    backend.edit_job(second, 0, priority=5)

    assert drain(backend, worker) == [second, first]


def test_a_job_can_be_put_into_another_queue(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    backend.edit_job(job_id, 0, queue="gpu")

    assert drain(backend, worker) == []
    assert drain(backend, worker, queues=["gpu"]) == [job_id]


def test_a_delay_counts_from_the_edit_and_can_be_taken_away(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=1000)
    clock.advance(100)
    backend.edit_job(job_id, 0, delay=50)
    assert info(backend, job_id).delayed == clock.wall() + 50
    assert drain(backend, worker) == []

    backend.edit_job(job_id, 0, delay=0)
    assert drain(backend, worker) == [job_id]


def test_an_expiry_and_a_timeout_can_be_set_and_taken_away(
    backend: Backend, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")
    backend.edit_job(job_id, 0, expire=10, timeout=5)
    assert info(backend, job_id).expires == clock.wall() + 10

    backend.edit_job(job_id, 0, expire=None, timeout=None)
    clock.advance(20)

    assert (info(backend, job_id).expires, info(backend, job_id).timeout) == (None, None)


def test_other_parents_keep_a_job_waiting(backend: Backend, worker: int) -> None:
    parent, job_id = backend.enqueue("foo"), backend.enqueue("foo", priority=5)
    backend.edit_job(job_id, 0, parents=(id_ for id_ in [parent]))

    assert info(backend, parent).children == [job_id]
    assert drain(backend, worker) == [parent]
    backend.finish_job(parent, 0)
    assert drain(backend, worker) == [job_id]


def test_a_held_job_stays_held(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", hold=True)

    assert backend.edit_job(job_id, 0, queue="gpu", priority=3, delay=0)

    assert info(backend, job_id).held
    assert drain(backend, worker, queues=["gpu"]) == []
    backend.unhold_job(job_id)
    assert drain(backend, worker, queues=["gpu"]) == [job_id]


@pytest.mark.parametrize("state", ["failed", "finished"])
def test_a_job_that_is_over_stays_so(backend: Backend, worker: int, state: State) -> None:
    job_id = job_in(state, backend, worker)
    before = info(backend, job_id)

    assert backend.edit_job(job_id, 0, args=["again"], attempts=3)

    after = info(backend, job_id)
    assert (after.state, after.args, after.attempts) == (state, ["again"], 3)
    assert (after.finished, after.result) == (before.finished, before.result)
    assert backend.retry_job(job_id, 0)
    assert claim(backend, worker)["args"] == ["again"]


def test_an_active_job_cannot_be_edited(backend: Backend, worker: int) -> None:
    job_id = job_in("active", backend, worker)

    assert not backend.edit_job(job_id, 0, priority=3)

    assert info(backend, job_id).priority == 0
    assert backend.finish_job(job_id, 0)


def test_an_edit_of_what_has_changed_meanwhile_is_refused(backend: Backend, worker: int) -> None:
    job_id = finished_job(backend, worker)
    backend.retry_job(job_id, 0)

    assert not backend.edit_job(job_id, 0, args=[1])
    assert not backend.edit_job(4711, 0, args=[1])
    assert backend.edit_job(job_id, 1, args=[1])


def test_an_expired_job_cannot_be_edited(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(10)

    assert not backend.edit_job(job_id, 0, expire=None)
    assert lookup(backend, job_id) is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"args": "text"}, InvalidType),
        ({"args": [object()]}, InvalidType),
        ({"kwargs": [1]}, InvalidType),
        ({"priority": 1.5}, InvalidType),
        ({"attempts": -1}, InvalidValue),
        ({"queue": "a\0"}, InvalidValue),
        ({"timeout": 0}, InvalidValue),
        ({"delay": "soon"}, InvalidType),
        ({"task": "bar"}, InvalidType),
        ({"state": "finished"}, InvalidType),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    backend: Backend, options: dict[str, Any], error: type[Exception]
) -> None:
    job_id = backend.enqueue("foo", [1])
    before = info(backend, job_id)

    with pytest.raises(error):
        backend.edit_job(job_id, 0, **options)

    assert info(backend, job_id) == before
