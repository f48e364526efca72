"""Limits: how many jobs with a key run at once, and how many start within a period."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from tests.support import FakeClock, claim, drain, info, job_in

TWO = ("tenant:7", 2)
HOURLY = ("api", 2, 3600)


def test_no_more_jobs_with_a_key_run_at_once_than_its_limit(backend: Backend, worker: int) -> None:
    jobs = [backend.enqueue("foo", concurrency=TWO) for _ in range(4)]

    assert drain(backend, worker) == jobs[:2]
    assert backend.finish_job(jobs[0], 0)
    assert drain(backend, worker) == [jobs[2]]


def test_a_job_that_may_not_run_yet_waits_without_using_up_an_attempt(
    backend: Backend, worker: int
) -> None:
    jobs = [backend.enqueue("foo", concurrency=TWO, attempts=3) for _ in range(3)]
    drain(backend, worker)

    waiting = info(backend, jobs[2])

    assert (waiting.state, waiting.retries, waiting.attempts) == ("inactive", 0, 3)
    assert waiting.history == []
    assert backend.queues()["default"]["blocked"] == 1
    assert backend.stats()["delayed_jobs"] == 1


def test_jobs_with_other_keys_and_with_none_run_meanwhile(backend: Backend, worker: int) -> None:
    for _ in range(3):
        backend.enqueue("foo", concurrency=("a", 1))
    other = backend.enqueue("foo", concurrency=("b", 1))
    free = backend.enqueue("foo")

    assert {other, free} < set(drain(backend, worker))


@pytest.mark.parametrize("how", ["finish", "fail", "attempts", "retry", "release", "die"])
def test_a_place_is_free_however_the_claim_that_held_it_ended(
    backend: Backend, worker: int, how: str
) -> None:
    first = job_in("active", backend, worker, concurrency=("k", 1), attempts=2)
    second = backend.enqueue("foo", concurrency=("k", 1), priority=1)
    assert backend.dequeue(worker) is None

    if how == "finish":
        backend.finish_job(first, 0)
    elif how == "fail":
        backend.fail_job(first, 0, final=True)
    elif how == "attempts":
        backend.fail_job(first, 0)
    elif how == "retry":
        backend.retry_job(first, 0, delay=100)
    elif how == "release":
        backend.release_job(first, 0)
    else:
        backend.unregister_worker(worker)
        worker = backend.register_worker()
        backend.repair()

    assert claim(backend, worker)["id"] == second


def test_a_limit_counts_every_job_with_the_key_whatever_limit_the_other_one_has(
    backend: Backend, worker: int
) -> None:
    wide = [backend.enqueue("foo", concurrency=("k", 3)) for _ in range(2)]
    backend.enqueue("foo", concurrency=("k", 2))

    assert drain(backend, worker) == wide


def test_a_job_obeys_all_its_limits(backend: Backend, worker: int) -> None:
    both = [("a", 1), ("b", 1)]
    a, b = (job_in("active", backend, worker, concurrency=limit) for limit in both)
    job = backend.enqueue("foo", concurrency=both)

    assert backend.dequeue(worker) is None
    assert backend.finish_job(a, 0)
    assert backend.dequeue(worker) is None
    assert backend.finish_job(b, 0)

    assert claim(backend, worker)["id"] == job


def test_a_place_that_was_not_needed_after_all_is_free(backend: Backend, worker: int) -> None:
    job_in("active", backend, worker, concurrency=("b", 1))
    backend.enqueue("foo", concurrency=[("a", 1), ("b", 1)])
    assert backend.dequeue(worker) is None

    other = backend.enqueue("foo", concurrency=("a", 1))

    assert claim(backend, worker)["id"] == other


def test_the_jobs_of_a_batch_share_a_limit(backend: Backend, worker: int) -> None:
    jobs = backend.enqueue_many(["foo"] * 5, concurrency=TWO)

    assert drain(backend, worker) == jobs[:2]


def test_no_more_jobs_start_within_a_period_than_its_rate(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    jobs = [backend.enqueue("foo", rate=HOURLY) for _ in range(5)]
    assert drain(backend, worker) == jobs[:2]
    backend.finish_job(jobs[0], 0)
    clock.advance(3599)
    assert drain(backend, worker) == []

    clock.advance(1)

    assert drain(backend, worker) == jobs[2:4]


def test_a_rate_is_of_any_window_not_of_hours(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    jobs = [backend.enqueue("foo", rate=HOURLY) for _ in range(4)]
    assert claim(backend, worker)["id"] == jobs[0]
    clock.advance(1800)
    assert drain(backend, worker) == [jobs[1]]

    clock.advance(1800)
    assert drain(backend, worker) == [jobs[2]]
    clock.advance(1800)

    assert drain(backend, worker) == [jobs[3]]


def test_a_claim_that_was_given_back_has_not_started(backend: Backend, worker: int) -> None:
    job = job_in("active", backend, worker, rate=("api", 1, 3600))

    assert backend.release_job(job, 0)

    assert claim(backend, worker)["id"] == job


def test_the_reason_is_told(backend: Backend, worker: int, clock: FakeClock) -> None:
    running = job_in("active", backend, worker, concurrency=("a", 1), rate=("b", 1, 60))
    at_once = backend.enqueue("foo", concurrency=("a", 1))
    too_fast = backend.enqueue("foo", rate=("b", 1, 60))

    assert backend.blocked_at(at_once) == {
        "kind": "concurrency", "key": "a", "limit": 1, "period": None, "jobs": [running],
        "until": None,
    }  # fmt: skip
    assert backend.blocked_at(too_fast) == {
        "kind": "rate", "key": "b", "limit": 1, "period": 60.0, "jobs": [],
        "until": pytest.approx(clock.wall() + 60),
    }  # fmt: skip
    assert backend.blocked_at(running) is None
    assert backend.blocked_at(backend.enqueue("foo")) is None


def test_a_job_says_its_limits(backend: Backend) -> None:
    job = backend.enqueue("foo", concurrency=TWO, rate=HOURLY)

    assert info(backend, job).limits == [
        ["concurrency", "tenant:7", 2, None], ["rate", "api", 2, 3600.0],
    ]  # fmt: skip


def test_a_job_that_waits_at_a_limit_is_never_stuck(make_backend: Any, clock: FakeClock) -> None:
    backend = make_backend(stuck_after=10)
    worker = backend.register_worker()
    job_in("active", backend, worker, concurrency=("k", 1))
    job = backend.enqueue("foo", concurrency=("k", 1))
    clock.advance(11)

    backend.repair()

    assert info(backend, job).state == "inactive"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"concurrency": ("k",)}, InvalidType),
        ({"concurrency": "k"}, InvalidType),
        ({"concurrency": ("", 1)}, InvalidValue),
        ({"concurrency": ("k", 0)}, InvalidValue),
        ({"concurrency": ("k", 1.5)}, InvalidType),
        ({"concurrency": [("k", 1), ("k", 2)]}, InvalidValue),
        ({"rate": ("k", 1)}, InvalidType),
        ({"rate": ("k", 1, 0)}, InvalidValue),
        ({"rate": ("k", 1, "hour")}, InvalidType),
        ({"rate": (7, 1, 60)}, InvalidType),
    ],
)
def test_what_is_no_limit_is_refused(
    backend: Backend, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.enqueue("foo", **options)
    assert backend.list_jobs().total == 0
