"""Jobs that wait for other jobs [131-144]."""

from __future__ import annotations

import pytest

from spoolq.backend import Backend
from tests.support import FakeClock, claim, drain, failed_job, finished_job, info, job_in


def run(backend: Backend, worker: int, job_id: int) -> None:
    """Perform the present attempt of a job and finish it."""
    backend.finish_job(job_id, claim(backend, worker, id=job_id)["retries"])


@pytest.mark.minion(131)
def test_a_child_waits_while_a_parent_is_inactive_or_active(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent], priority=5)

    assert drain(backend, worker) == [parent]
    assert drain(backend, worker) == []
    assert info(backend, child).state == "inactive"
    backend.finish_job(parent, 0)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(132)
def test_a_failed_parent_keeps_its_child_waiting(backend: Backend, worker: int) -> None:
    parent = failed_job(backend, worker)
    backend.enqueue("bar", parents=[parent])

    assert drain(backend, worker) == []


@pytest.mark.minion(132)
def test_a_parent_that_fails_while_the_child_waits_keeps_it_waiting(
    backend: Backend, worker: int
) -> None:
    parent = backend.enqueue("foo")
    backend.enqueue("bar", parents=[parent])
    claim(backend, worker)

    backend.fail_job(parent, 0)

    assert drain(backend, worker) == []


@pytest.mark.minion(132)
def test_a_failed_parent_does_not_hold_a_lax_child(backend: Backend, worker: int) -> None:
    parent = failed_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent], lax=True)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(133)
def test_a_child_waits_for_the_last_of_its_parents(backend: Backend, worker: int) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[first, second])
    assert drain(backend, worker) == [first, second]

    backend.finish_job(first, 0)
    assert drain(backend, worker) == []
    backend.fail_job(second, 0)
    assert drain(backend, worker) == []
    backend.retry_job(second, 0)
    run(backend, worker, second)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(134)
def test_a_lax_child_waits_until_every_parent_has_ended_somehow(
    backend: Backend, worker: int
) -> None:
    parents = [backend.enqueue("foo") for _ in range(3)]
    child = backend.enqueue("bar", parents=parents, lax=True)

    assert claim(backend, worker)["id"] == parents[0]
    backend.fail_job(parents[0], 0)
    assert claim(backend, worker)["id"] == parents[1]
    backend.finish_job(parents[1], 0)
    assert drain(backend, worker) == [parents[2]]
    assert drain(backend, worker) == []
    backend.fail_job(parents[2], 0)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(134)
def test_a_lax_child_waits_for_a_parent_with_attempts_left(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = backend.enqueue("foo", attempts=2)
    child = backend.enqueue("bar", parents=[parent], lax=True)
    claim(backend, worker)

    backend.fail_job(parent, 0)
    assert drain(backend, worker) == []
    clock.advance(60)
    assert claim(backend, worker)["id"] == parent
    backend.fail_job(parent, 1)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(135)
def test_a_child_can_become_lax_later(backend: Backend, worker: int) -> None:
    parent = failed_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent])
    assert drain(backend, worker) == []

    backend.retry_job(child, 0, lax=True)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(136)
@pytest.mark.parametrize("missing", [-1, 4711])
def test_a_parent_that_never_was_does_not_block(
    backend: Backend, worker: int, missing: int
) -> None:
    finished = finished_job(backend, worker)
    child = backend.enqueue("bar", parents=[missing, finished])

    assert drain(backend, worker) == [child]


@pytest.mark.minion(136)
def test_a_parent_that_is_removed_while_the_child_waits_does_not_block(
    backend: Backend, worker: int
) -> None:
    inactive, failed = backend.enqueue("foo", delay=60), failed_job(backend, worker)
    child = backend.enqueue("bar", parents=[inactive, failed])

    backend.remove_job(inactive)
    assert drain(backend, worker) == []
    backend.remove_job(failed)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(136)
def test_a_parent_that_repair_deleted_does_not_block(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = backend.enqueue("foo", expire=10)
    child = backend.enqueue("bar", parents=[parent])
    clock.advance(10)

    backend.repair()

    assert info(backend, child).parents == [parent]
    assert drain(backend, worker) == [child]


@pytest.mark.minion(137)
def test_an_expired_parent_does_not_block_even_before_repair(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = backend.enqueue("foo", expire=10, queue="elsewhere")
    child = backend.enqueue("bar", parents=[parent])
    assert drain(backend, worker) == []

    clock.advance(10)

    assert drain(backend, worker) == [child]


@pytest.mark.minion(137)
def test_an_expired_parent_that_is_active_still_blocks(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = job_in("active", backend, worker, expire=10)
    backend.enqueue("bar", parents=[parent])

    clock.advance(10)

    assert drain(backend, worker) == []


@pytest.mark.minion(138)
def test_a_finished_parent_that_is_retried_blocks_again(backend: Backend, worker: int) -> None:
    parent = finished_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent])

    backend.retry_job(parent, 0, delay=60)

    assert drain(backend, worker) == []
    backend.retry_job(parent, 1)
    run(backend, worker, parent)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(138)
def test_a_parent_that_finished_and_is_retried_while_the_child_waits_blocks_again(
    backend: Backend, worker: int
) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent])
    run(backend, worker, parent)

    backend.retry_job(parent, 0, delay=60)

    assert drain(backend, worker) == []
    backend.remove_job(parent)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(139)
def test_a_running_child_does_not_care_about_its_parents(backend: Backend, worker: int) -> None:
    parent = finished_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent])
    claim(backend, worker)

    backend.retry_job(parent, 0)

    assert info(backend, child).state == "active"
    assert backend.finish_job(child, 0)


@pytest.mark.minion(140)
def test_parents_and_children_name_each_other(backend: Backend) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    both = backend.enqueue("bar", parents=[second, first])
    one = backend.enqueue("bar", parents=[first])

    assert (info(backend, first).parents, info(backend, first).children) == ([], [both, one])
    assert (info(backend, second).parents, info(backend, second).children) == ([], [both])
    assert (info(backend, both).parents, info(backend, both).children) == ([second, first], [])


@pytest.mark.minion(140)
def test_a_child_that_names_its_parent_twice_is_one_child(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent, parent])

    assert info(backend, parent).children == [child]
    run(backend, worker, parent)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(141)
def test_children_are_listed_in_every_state(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = finished_job(backend, worker)
    finished = finished_job(backend, worker, parents=[parent])
    failed = failed_job(backend, worker, parents=[parent])
    active = job_in("active", backend, worker, parents=[parent])
    inactive = backend.enqueue("foo", parents=[parent])
    expired = backend.enqueue("foo", parents=[parent], expire=5)
    clock.advance(10)

    children = info(backend, parent).children

    assert children == [finished, failed, active, inactive, expired]


@pytest.mark.minion(142)
def test_a_job_that_is_its_own_parent_waits_for_ever(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")

    backend.retry_job(job_id, 0, parents=[job_id])

    assert info(backend, job_id).children == [job_id]
    assert drain(backend, worker) == []
    backend.repair()
    assert drain(backend, worker) == []


@pytest.mark.minion(144)
def test_a_failed_parent_does_not_fail_its_children(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent])
    claim(backend, worker)

    backend.fail_job(parent, 0)
    backend.repair()

    assert info(backend, child).state == "inactive"


def test_a_chain_runs_one_after_the_other(backend: Backend, worker: int) -> None:
    first = backend.enqueue("foo")
    second = backend.enqueue("foo", parents=[first], priority=1)
    third = backend.enqueue("foo", parents=[second], priority=2)

    for expected in (first, second, third):
        assert drain(backend, worker) == [expected]
        backend.finish_job(expected, 0)


def test_many_children_of_one_parent_come_out_in_order(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    children = [backend.enqueue("bar", parents=[parent]) for _ in range(60)]

    run(backend, worker, parent)

    assert drain(backend, worker) == children


def test_one_child_of_many_parents_waits_for_all(backend: Backend, worker: int) -> None:
    parents = [backend.enqueue("foo") for _ in range(30)]
    child = backend.enqueue("bar", parents=parents)

    for parent in reversed(parents):
        assert info(backend, child).state == "inactive"
        assert backend.dequeue(worker, id=child) is None
        run(backend, worker, parent)

    assert drain(backend, worker) == [child]


def test_a_delayed_child_waits_for_both(backend: Backend, worker: int, clock: FakeClock) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent], delay=60)

    run(backend, worker, parent)
    assert drain(backend, worker) == []
    clock.advance(60)
    assert drain(backend, worker) == [child]


def test_a_child_whose_delay_runs_out_first_still_waits_for_its_parent(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = backend.enqueue("foo", queue="elsewhere")
    child = backend.enqueue("bar", parents=[parent], delay=60)

    clock.advance(60)
    assert drain(backend, worker) == []
    backend.remove_job(parent)
    assert drain(backend, worker) == [child]


def test_a_child_in_another_queue_is_released(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[parent], queue="other")

    run(backend, worker, parent)

    assert drain(backend, worker) == []
    assert drain(backend, worker, queues=["other"]) == [child]
