"""A retry by hand: from any state, with options replaced [88-110]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import STATES, State
from tests.support import FakeClock, claim, drain, failed_job, finished_job, info, job_in, lookup


@pytest.mark.minion(88)
@pytest.mark.parametrize("state", STATES)
def test_a_job_in_any_state_can_be_retried(
    backend: Backend, worker: int, clock: FakeClock, state: State
) -> None:
    job_id = job_in(state, backend, worker)
    clock.advance(5)

    assert backend.retry_job(job_id, 0)

    job = info(backend, job_id)
    assert (job.state, job.retries) == ("inactive", 1)
    assert job.retried == pytest.approx(clock.wall())
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(89)
def test_a_job_that_was_never_retried_says_so(backend: Backend, worker: int) -> None:
    job_id = finished_job(backend, worker)

    assert info(backend, job_id).retried is None


@pytest.mark.minion(90)
def test_retrying_an_active_job_refuses_the_outcome_of_the_old_attempt(
    backend: Backend, worker: int
) -> None:
    job_id = job_in("active", backend, worker)

    assert backend.retry_job(job_id, 0)

    assert not backend.finish_job(job_id, 0, "late")
    assert not backend.fail_job(job_id, 0, "late")
    assert (info(backend, job_id).state, info(backend, job_id).result) == ("inactive", None)


@pytest.mark.minion(92)
def test_a_retried_job_must_be_claimed_again_before_it_can_end(
    backend: Backend, worker: int
) -> None:
    job_id = failed_job(backend, worker)
    backend.retry_job(job_id, 0)
    assert not backend.finish_job(job_id, 1)

    claim(backend, worker)

    assert backend.finish_job(job_id, 1)


@pytest.mark.minion(93)
@pytest.mark.parametrize("state", STATES)
def test_a_retry_that_knows_an_old_attempt_changes_nothing(
    backend: Backend, worker: int, state: State
) -> None:
    job_id = job_in(state, backend, worker)
    assert backend.retry_job(job_id, 0)
    before = info(backend, job_id)

    assert not backend.retry_job(job_id, 0, priority=9, queue="other")
    assert not backend.retry_job(job_id, 2)

    assert info(backend, job_id) == before


@pytest.mark.minion(94)
def test_after_a_retry_notes_and_removal_still_need_no_attempt(
    backend: Backend, worker: int
) -> None:
    job_id = failed_job(backend, worker)
    backend.retry_job(job_id, 0)

    assert not backend.finish_job(job_id, 0)
    assert not backend.fail_job(job_id, 0)
    assert not backend.retry_job(job_id, 0)
    assert backend.note(job_id, {"still": "works"})
    assert info(backend, job_id).notes == {"still": "works"}
    assert backend.remove_job(job_id)


@pytest.mark.minion(96)
def test_a_removed_job_cannot_be_retried(backend: Backend) -> None:
    job_id = backend.enqueue("foo")
    backend.remove_job(job_id)

    assert not backend.retry_job(job_id, 0)

    assert lookup(backend, job_id) is None


@pytest.mark.minion(97)
def test_a_retry_without_a_delay_is_due_now(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=1000)
    clock.advance(1)

    backend.retry_job(job_id, 0)

    job = info(backend, job_id)
    assert job.delayed == job.retried == pytest.approx(clock.wall())
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(98)
def test_a_retry_can_be_delayed(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = failed_job(backend, worker)

    backend.retry_job(job_id, 0, delay=100)

    job = info(backend, job_id)
    assert job.retried is not None
    assert job.delayed == pytest.approx(job.retried + 100)
    assert drain(backend, worker) == []
    clock.advance(100)
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(99)
def test_a_retry_with_a_negative_delay_is_due_at_once(backend: Backend, worker: int) -> None:
    job_id = failed_job(backend, worker)

    backend.retry_job(job_id, 0, delay=-5)

    job = info(backend, job_id)
    assert job.retried is not None
    assert job.delayed == pytest.approx(job.retried - 5)
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(100)
@pytest.mark.parametrize("state", STATES)
def test_a_retry_can_move_a_job_to_another_queue_and_priority_for_good(
    backend: Backend, worker: int, state: State
) -> None:
    job_id = job_in(state, backend, worker)
    assert backend.retry_job(job_id, 0, queue="test2", priority=100)
    assert drain(backend, worker) == []

    assert claim(backend, worker, queues=["test2"], min_priority=100)["id"] == job_id
    assert backend.retry_job(job_id, 1)

    job = info(backend, job_id)
    assert (job.queue, job.priority) == ("test2", 100)
    assert drain(backend, worker, queues=["test2"]) == [job_id]


@pytest.mark.minion(101)
def test_a_retry_can_set_the_expiry_from_now(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", expire=300)
    clock.advance(100)

    backend.retry_job(job_id, 0, expire=600)

    assert info(backend, job_id).expires == pytest.approx(clock.wall() + 600)


@pytest.mark.minion(101)
def test_a_retry_keeps_the_old_expiry_even_when_it_is_past(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = finished_job(backend, worker, expire=300)
    expires = info(backend, job_id).expires
    clock.advance(100)
    backend.retry_job(job_id, 0)
    assert info(backend, job_id).expires == expires
    claim(backend, worker)
    backend.finish_job(job_id, 1)
    clock.advance(300)

    assert backend.retry_job(job_id, 1)

    assert lookup(backend, job_id) is None
    assert drain(backend, worker) == []


@pytest.mark.minion(102)
def test_a_retry_can_replace_the_attempts_that_are_left(backend: Backend) -> None:
    job_id = backend.enqueue("foo", attempts=5)

    backend.retry_job(job_id, 0, attempts=2)
    assert info(backend, job_id).attempts == 2
    backend.retry_job(job_id, 1, attempts=0)
    assert info(backend, job_id).attempts == 0
    backend.retry_job(job_id, 2)
    assert info(backend, job_id).attempts == 0


@pytest.mark.minion(103)
def test_a_retry_can_replace_the_parents(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo", queue="elsewhere")
    job_id = backend.enqueue("foo", parents=[parent])
    backend.retry_job(job_id, 0, parents=[-1, -2])
    assert info(backend, job_id).parents == [-1, -2]
    assert drain(backend, worker) == [job_id]

    backend.retry_job(job_id, 1, parents=[parent])
    assert drain(backend, worker) == []
    assert info(backend, parent).children == [job_id]


@pytest.mark.minion(103)
def test_a_retry_can_take_all_parents_away(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo", queue="elsewhere")
    job_id = backend.enqueue("foo", parents=[parent])

    backend.retry_job(job_id, 0, parents=[])

    assert info(backend, job_id).parents == []
    assert info(backend, parent).children == []
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(104)
def test_a_retry_can_switch_lax_on_and_off(backend: Backend) -> None:
    job_id = backend.enqueue("foo")

    backend.retry_job(job_id, 0, lax=True)
    assert info(backend, job_id).lax is True
    backend.retry_job(job_id, 1)
    assert info(backend, job_id).lax is True
    backend.retry_job(job_id, 2, lax=0)
    assert info(backend, job_id).lax is False


@pytest.mark.minion(105)
@pytest.mark.parametrize(
    "options", [{"notes": {"a": 1}}, {"args": [1]}, {"task": "bar"}, {"prority": 1}], ids=repr
)
def test_what_a_retry_cannot_change_is_refused(backend: Backend, options: dict[str, Any]) -> None:
    job_id = backend.enqueue("foo")
    before = info(backend, job_id)

    with pytest.raises(InvalidType):
        backend.retry_job(job_id, 0, **options)

    assert info(backend, job_id) == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"attempts": -1}, InvalidValue),
        ({"attempts": "2"}, InvalidType),
        ({"delay": "soon"}, InvalidType),
        ({"delay": float("nan")}, InvalidValue),
        ({"expire": "never"}, InvalidType),
        ({"lax": "yes"}, InvalidType),
        ({"parents": "5"}, InvalidType),
        ({"parents": ["abc"]}, InvalidValue),
        ({"priority": 0.5}, InvalidType),
        ({"queue": 5}, InvalidType),
        ({"queue": "a\0b"}, InvalidValue),
    ],
    ids=repr,
)
def test_a_wrong_option_leaves_the_job_as_it_was(
    backend: Backend, worker: int, options: dict[str, Any], error: type[Exception]
) -> None:
    for state in STATES:
        job_id = job_in(state, backend, worker)
        before = info(backend, job_id)

        with pytest.raises(error):
            backend.retry_job(job_id, 0, **options)

        assert info(backend, job_id) == before


@pytest.mark.minion(106)
@pytest.mark.parametrize("state", ["finished", "failed"])
def test_a_retry_keeps_what_the_previous_run_left(
    backend: Backend, worker: int, clock: FakeClock, state: State
) -> None:
    job_id = job_in(state, backend, worker)
    before = info(backend, job_id)
    clock.advance(5)

    backend.retry_job(job_id, 0)

    after = info(backend, job_id)
    assert (after.result, after.finished) == (before.result, before.finished)
    assert (after.started, after.worker) == (before.started, before.worker)
    assert after.worker == worker
    assert after.history == before.history


@pytest.mark.minion(107)
def test_retrying_an_inactive_job_changes_its_options(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    newer = backend.enqueue("foo", priority=1)

    backend.retry_job(job_id, 0, priority=2, attempts=7, lax=True, parents=[-1])

    job = info(backend, job_id)
    assert (job.priority, job.attempts, job.lax, job.parents) == (2, 7, True, [-1])
    assert drain(backend, worker) == [job_id, newer]


@pytest.mark.minion(108)
def test_a_retry_by_hand_uses_no_attempt(backend: Backend, worker: int) -> None:
    job_id = failed_job(backend, worker, attempts=1)

    backend.retry_job(job_id, 0)
    backend.retry_job(job_id, 1)

    assert info(backend, job_id).attempts == 1


@pytest.mark.minion(109)
def test_retries_by_hand_raise_the_backoff(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", attempts=3)
    backend.retry_job(job_id, 0)
    backend.retry_job(job_id, 1)
    claim(backend, worker)

    backend.fail_job(job_id, 2)

    job = info(backend, job_id)
    assert (job.attempts, job.retries) == (2, 3)
    assert job.retried is not None
    assert job.delayed - job.retried == pytest.approx(2**4 + 15)


@pytest.mark.minion(110)
def test_an_expired_job_can_be_retried_and_brought_back(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(10)

    assert backend.retry_job(job_id, 0)
    assert lookup(backend, job_id) is None
    assert backend.retry_job(job_id, 1, expire=10)

    assert info(backend, job_id).retries == 2
    assert drain(backend, worker) == [job_id]


def test_a_job_can_be_retried_many_times(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")

    for retries in range(25):
        assert backend.retry_job(job_id, retries, priority=retries % 3)

    assert info(backend, job_id).retries == 25
    assert drain(backend, worker) == [job_id]
