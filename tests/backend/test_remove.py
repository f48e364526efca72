"""Removing jobs: everything but what is running [111-114]."""

from __future__ import annotations

import pytest

from spoolq.backend import Backend
from spoolq.model import State
from tests.support import FakeClock, drain, failed_job, info, job_in, lookup


@pytest.mark.minion(111)
@pytest.mark.parametrize("state", ["inactive", "failed", "finished"])
def test_a_job_that_does_not_run_can_be_removed(
    backend: Backend, worker: int, state: State
) -> None:
    job_id, other = job_in(state, backend, worker), backend.enqueue("foo", delay=60)

    assert backend.remove_job(job_id)

    assert lookup(backend, job_id) is None
    assert [job.id for job in backend.list_jobs().rows] == [other]
    assert drain(backend, worker) == []


@pytest.mark.parametrize("options", [{"delay": 60}, {"queue": "other"}, {"priority": -5}], ids=repr)
def test_a_job_that_waits_anywhere_can_be_removed(
    backend: Backend, options: dict[str, object]
) -> None:
    job_id = backend.enqueue("foo", **options)  # type: ignore[arg-type]

    assert backend.remove_job(job_id)

    assert lookup(backend, job_id) is None
    assert backend.stats()["inactive_jobs"] == 0


def test_a_job_that_waits_for_a_parent_can_be_removed(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent])

    assert backend.remove_job(child)

    assert lookup(backend, child) is None
    assert info(backend, parent).children == []
    assert drain(backend, worker) == [parent]


@pytest.mark.minion(112)
def test_an_active_job_cannot_be_removed(backend: Backend, worker: int) -> None:
    job_id = job_in("active", backend, worker)

    assert not backend.remove_job(job_id)

    assert info(backend, job_id).state == "active"
    assert backend.finish_job(job_id, 0)


@pytest.mark.minion(112)
def test_a_job_that_is_not_there_cannot_be_removed(backend: Backend) -> None:
    job_id = backend.enqueue("foo")
    assert backend.remove_job(job_id)

    assert not backend.remove_job(job_id)
    assert not backend.remove_job(4711)
    assert not backend.remove_job(-1)


@pytest.mark.minion(113)
def test_an_expired_job_can_be_removed(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(10)

    assert backend.remove_job(job_id)
    assert not backend.remove_job(job_id)


@pytest.mark.minion(114)
def test_removing_a_parent_frees_its_children_and_leaves_them_its_id(
    backend: Backend, worker: int
) -> None:
    parent = failed_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent])
    assert drain(backend, worker) == []

    backend.remove_job(parent)

    assert info(backend, child).parents == [parent]
    assert drain(backend, worker) == [child]


def test_an_id_is_not_given_out_again_after_its_job_was_removed(backend: Backend) -> None:
    job_id = backend.enqueue("foo")
    backend.remove_job(job_id)

    assert backend.enqueue("foo") > job_id
