"""Unique jobs: one with a key, until it has ended, while it waits, or for a period."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import DuplicateJob, InvalidType, InvalidValue
from tests.support import FakeClock, claim, drain, failed_job, finished_job, info, job_in, lookup


def refused(backend: Backend, key: str | bool = "k", *args: Any, **options: Any) -> int:
    """The job that kept a new one with this key out."""
    with pytest.raises(DuplicateJob) as caught:
        backend.enqueue("foo", list(args), unique=key, **options)
    return caught.value.id


def test_a_second_job_with_the_key_of_one_that_waits_is_refused_and_the_first_is_named(
    backend: Backend,
) -> None:
    job = backend.enqueue("foo", unique="k")

    assert refused(backend) == job
    assert backend.list_jobs().total == 1
    assert backend.holder_of("k") == job


def test_the_key_is_held_while_the_job_runs(backend: Backend, worker: int) -> None:
    job = job_in("active", backend, worker, unique="k")

    assert refused(backend) == job


@pytest.mark.parametrize("end", [finished_job, failed_job])
def test_the_key_is_free_when_the_job_has_ended(backend: Backend, worker: int, end: Any) -> None:
    end(backend, worker, unique="k")

    assert backend.holder_of("k") is None
    assert backend.enqueue("foo", unique="k")


def test_a_job_that_waits_for_another_attempt_keeps_its_key(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job = failed_job(backend, worker, unique="k", attempts=2)
    assert refused(backend) == job

    clock.advance(60)
    assert backend.fail_job(job, claim(backend, worker)["retries"])

    assert backend.enqueue("foo", unique="k")


def test_the_key_is_free_when_the_job_was_removed(backend: Backend) -> None:
    assert backend.remove_job(backend.enqueue("foo", unique="k"))

    assert backend.enqueue("foo", unique="k")


def test_the_key_is_free_when_the_job_has_expired(backend: Backend, clock: FakeClock) -> None:
    backend.enqueue("foo", unique="k", expire=10)

    clock.advance(11)

    assert backend.enqueue("foo", unique="k")


def test_the_key_is_free_when_the_worker_died_and_no_attempt_is_left(
    backend: Backend, worker: int
) -> None:
    job_in("active", backend, worker, unique="k")

    backend.unregister_worker(worker)
    backend.repair()

    assert backend.enqueue("foo", unique="k")


def test_keys_are_one_for_the_whole_spool_whatever_the_task_and_the_queue(
    backend: Backend,
) -> None:
    job = backend.enqueue("bar", unique="k", queue="other")

    assert refused(backend) == job


def test_jobs_with_other_keys_and_with_none_are_not_in_the_way(backend: Backend) -> None:
    backend.enqueue("foo", unique="k")

    assert backend.enqueue("foo", unique="other")
    assert backend.enqueue("foo")


def test_true_makes_the_key_of_the_task_and_its_arguments(backend: Backend) -> None:
    job = backend.enqueue("foo", [1], {"a": 1, "b": 2}, unique=True)

    with pytest.raises(DuplicateJob) as caught:
        backend.enqueue("foo", [1], {"b": 2, "a": 1}, unique=True)
    assert caught.value.id == job
    assert backend.enqueue("foo", [2], {"a": 1, "b": 2}, unique=True)
    assert backend.enqueue("foo", [1], unique=True)
    assert backend.enqueue("bar", [1], {"a": 1, "b": 2}, unique=True)


def test_a_job_says_its_key(backend: Backend) -> None:
    job = backend.enqueue("foo", unique="k", unique_while="waiting")

    assert info(backend, job).unique == {"key": "k", "mode": "waiting", "until": None}
    assert info(backend, backend.enqueue("foo")).unique is None


# -- while it waits ------------------------------------------------------------------------------


def test_one_may_wait_while_one_runs(backend: Backend, worker: int) -> None:
    job_in("active", backend, worker, unique="k", unique_while="waiting")

    waiting = backend.enqueue("foo", unique="k", unique_while="waiting")

    assert refused(backend, unique_while="waiting") == waiting


def test_the_one_that_waits_does_not_start_before_the_one_that_runs_has_ended(
    backend: Backend, worker: int
) -> None:
    running = job_in("active", backend, worker, unique="k", unique_while="waiting")
    waiting = backend.enqueue("foo", unique="k", unique_while="waiting")
    assert backend.dequeue(worker) is None
    assert backend.queues()["default"]["blocked"] == 1

    assert backend.finish_job(running, 0)

    assert claim(backend, worker)["id"] == waiting


def test_the_one_that_waits_lets_one_that_failed_have_its_other_attempts(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    first = job_in("active", backend, worker, unique="k", unique_while="waiting", attempts=2)
    second = backend.enqueue("foo", unique="k", unique_while="waiting")
    assert backend.fail_job(first, 0)
    assert backend.dequeue(worker) is None

    clock.advance(60)
    again = claim(backend, worker)
    assert again["id"] == first
    assert backend.dequeue(worker) is None
    assert backend.finish_job(first, again["retries"])

    assert claim(backend, worker)["id"] == second


def test_a_claim_that_is_given_back_waits_again_for_its_key(backend: Backend, worker: int) -> None:
    job = job_in("active", backend, worker, unique="k", unique_while="waiting")

    assert backend.release_job(job, 0)

    assert refused(backend, unique_while="waiting") == job
    assert claim(backend, worker)["id"] == job


# -- for a period --------------------------------------------------------------------------------


def test_a_key_for_a_period_is_held_until_its_end_whatever_becomes_of_the_job(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job = finished_job(backend, worker, unique="k", unique_for=100)
    clock.advance(99)
    assert refused(backend, unique_for=100) == job

    clock.advance(1)

    assert backend.enqueue("foo", unique="k", unique_for=100)


def test_a_key_for_a_period_is_free_after_it_although_the_job_still_waits(
    backend: Backend, clock: FakeClock, worker: int
) -> None:
    first = backend.enqueue("foo", unique="k", unique_for=100)
    clock.advance(100)

    second = backend.enqueue("foo", unique="k", unique_for=100)

    assert drain(backend, worker) == [first, second]


def test_removing_the_job_ends_the_period(backend: Backend) -> None:
    assert backend.remove_job(backend.enqueue("foo", unique="k", unique_for=100))

    assert backend.enqueue("foo", unique="k", unique_for=100)


# -- replace -------------------------------------------------------------------------------------


def test_a_job_that_waits_is_replaced(backend: Backend, worker: int) -> None:
    old = backend.enqueue("foo", [1], unique="k")

    new = backend.enqueue("foo", [2], unique="k", replace=True)

    assert lookup(backend, old) is None
    assert refused(backend) == new
    assert claim(backend, worker)["args"] == [2]


def test_one_that_runs_is_not_replaced_the_new_one_waits_for_its_end(
    backend: Backend, worker: int
) -> None:
    running = job_in("active", backend, worker, unique="k")
    second = backend.enqueue("foo", [2], unique="k", replace=True)

    third = backend.enqueue("foo", [3], unique="k", replace=True)

    assert lookup(backend, second) is None
    assert backend.dequeue(worker) is None
    assert backend.blocked_at(third) == {
        "kind": "unique", "key": "k", "limit": 1, "period": None, "jobs": [running], "until": None,
    }  # fmt: skip
    assert backend.finish_job(running, 0)
    assert claim(backend, worker)["id"] == third


def test_there_need_be_nothing_to_replace(backend: Backend, worker: int) -> None:
    finished_job(backend, worker, unique="k")

    assert backend.enqueue("foo", unique="k", replace=True)


# -- a job that has ended runs again -------------------------------------------------------------


def test_a_job_that_is_retried_holds_its_key_again(backend: Backend, worker: int) -> None:
    job = failed_job(backend, worker, unique="k")

    assert backend.retry_job(job, 0)

    assert refused(backend) == job
    assert claim(backend, worker)["id"] == job


def test_a_job_is_not_retried_whose_key_another_one_holds(backend: Backend, worker: int) -> None:
    job = failed_job(backend, worker, unique="k")
    other = backend.enqueue("foo", unique="k")

    with pytest.raises(DuplicateJob) as caught:
        backend.retry_job(job, 0)

    assert caught.value.id == other
    assert info(backend, job).state == "failed"


def test_a_job_that_runs_keeps_its_key_when_it_is_retried(backend: Backend, worker: int) -> None:
    job = job_in("active", backend, worker, unique="k")

    assert backend.retry_job(job, 0)

    assert refused(backend) == job


# -- wrong calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"unique": ""}, InvalidValue),
        ({"unique": "a\0b"}, InvalidValue),
        ({"unique": "x" * 1001}, InvalidValue),
        ({"unique": 7}, InvalidType),
        ({"unique_while": "waiting"}, InvalidType),
        ({"unique_for": 7}, InvalidType),
        ({"unique": "k", "unique_while": "running"}, InvalidValue),
        ({"unique": "k", "unique_for": 0}, InvalidValue),
        ({"unique": "k", "unique_for": "7"}, InvalidType),
        ({"unique": "k", "unique_for": 7, "unique_while": "waiting"}, InvalidType),
    ],
)
def test_what_is_no_way_to_be_unique_is_refused(
    backend: Backend, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.enqueue("foo", **options)
    assert backend.list_jobs().total == 0


def test_jobs_of_a_batch_cannot_be_unique(backend: Backend) -> None:
    with pytest.raises(InvalidType, match="one by one"):
        backend.enqueue_many(["foo"], unique="k")
