"""Failing with attempts left, and how long it takes until the next [116-129]."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType
from tests.conftest import MakeBackend
from tests.support import FakeClock, claim, drain, failed_job, info


@pytest.mark.minion(116)
def test_the_default_backoff_grows_with_the_fourth_power(backend: Backend) -> None:
    assert [backend.backoff(retries) for retries in range(6)] == [15, 16, 31, 96, 271, 640]
    assert backend.backoff(25) == 390_640


@pytest.mark.minion(117, 118, 121, 123)
def test_a_failure_with_attempts_left_goes_back_to_inactive(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)
    clock.advance(2)

    assert backend.fail_job(job_id, 0, "broken")

    job = info(backend, job_id)
    assert (job.state, job.attempts, job.retries, job.result) == ("inactive", 2, 1, "broken")
    assert job.retried == job.finished == pytest.approx(clock.wall())
    assert job.delayed == pytest.approx(clock.wall() + 15)


def test_a_final_failure_gives_up_the_attempts_that_are_left(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)

    assert backend.fail_job(job_id, 0, "cancelled", final=True)

    job = info(backend, job_id)
    assert (job.state, job.attempts, job.retries, job.result) == ("failed", 1, 0, "cancelled")


@pytest.mark.minion(119, 120)
def test_six_attempts_take_longer_and_longer_and_the_last_failure_is_final(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", attempts=6)
    seen = []

    for retries in range(6):
        claim(backend, worker)
        assert backend.fail_job(job_id, retries)
        job = info(backend, job_id)
        seen.append((job.state, job.attempts, round(job.delayed - (job.retried or 0))))
        clock.advance(1000)
        backend.register_worker(worker)

    assert seen[:5] == [
        ("inactive", 5, 15),
        ("inactive", 4, 16),
        ("inactive", 3, 31),
        ("inactive", 2, 96),
        ("inactive", 1, 271),
    ]
    assert seen[5][:2] == ("failed", 1)
    assert drain(backend, worker) == []


def test_the_next_attempt_is_handed_out_when_the_backoff_is_over(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", attempts=2)
    claim(backend, worker)
    backend.fail_job(job_id, 0)

    clock.advance(14)
    assert backend.dequeue(worker) is None
    clock.advance(1)
    assert claim(backend, worker)["retries"] == 1


@pytest.mark.minion(122)
def test_an_automatic_retry_keeps_everything_else(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    gone = failed_job(backend, worker)
    job_id = backend.enqueue(
        "bar",
        [1],
        {"two": 3},
        attempts=3,
        expire=600,
        lax=True,
        notes={"a": 1},
        parents=[gone],
        priority=4,
        queue="mail",
        timeout=9,
    )
    before = info(backend, job_id)
    claim(backend, worker, queues=["mail"])
    clock.advance(5)

    backend.fail_job(job_id, 0)

    after = info(backend, job_id)
    for field in ("task", "args", "kwargs", "lax", "notes", "parents", "timeout", "created"):
        assert getattr(after, field) == getattr(before, field), field
    for field in ("priority", "queue", "expires"):
        assert getattr(after, field) == getattr(before, field), field


@pytest.mark.minion(124)
def test_nobody_sees_a_job_failed_before_its_retry(make_backend: MakeBackend) -> None:
    backend = make_backend(backoff=lambda _: 0)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=1000)
    stop = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        while not stop.is_set():
            seen.extend(job.state for job in backend.list_jobs(states=["failed"]).rows)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for retries in range(60):
            claim(backend, worker)
            assert backend.fail_job(job_id, retries)
    finally:
        stop.set()
        watcher.join()

    assert seen == []
    assert info(backend, job_id).attempts == 940


@pytest.mark.minion(125)
def test_a_failed_job_can_be_given_more_attempts(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = failed_job(backend, worker)
    backend.retry_job(job_id, 0, attempts=2)

    claim(backend, worker)
    backend.fail_job(job_id, 1)
    assert info(backend, job_id).state == "inactive"
    clock.advance(60)
    claim(backend, worker)
    backend.fail_job(job_id, 2)
    assert info(backend, job_id).state == "failed"


@pytest.mark.minion(126)
def test_a_job_lost_with_its_worker_uses_an_attempt(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", attempts=2)
    states = []

    for _ in range(2):
        worker = backend.register_worker()
        claim(backend, worker)
        backend.unregister_worker(worker)
        backend.repair()
        job = info(backend, job_id)
        states.append((job.state, job.attempts, job.result))
        clock.advance(60)

    assert states == [("inactive", 1, "Worker went away"), ("failed", 1, "Worker went away")]


@pytest.mark.minion(128, 129)
def test_the_backoff_is_asked_when_the_failure_is_recorded(make_backend: MakeBackend) -> None:
    asked: list[int] = []

    def backoff(retries: int) -> float:
        asked.append(retries)
        return 7 * retries + 1

    backend = make_backend(backoff=backoff)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)
    assert asked == []

    backend.fail_job(job_id, 0)

    job = info(backend, job_id)
    assert asked == [0]
    assert job.delayed - (job.retried or 0) == pytest.approx(1)


def test_a_backoff_may_ask_for_the_error(make_backend: MakeBackend) -> None:
    asked: list[Any] = []

    def backoff(retries: int, error: Any) -> float:
        asked.append((retries, error))
        return 5

    backend = make_backend(backoff=backoff)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)

    backend.fail_job(job_id, 0, {"type": "OSError"})

    assert asked == [(0, {"type": "OSError"})]


def factor(retries: int, base: float = 3) -> float:
    return base * (retries + 1)


def of_error(retries: int, error: Any = None) -> float:
    return float(error["seconds"])


class Doubling:
    def __call__(self, retries: int, error: Any) -> float:
        return float(2 * error["seconds"])


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (lambda _: timedelta(minutes=1), 60),
        (factor, 3),
        (of_error, 9),
        (Doubling(), 18),
        (partial(of_error), 9),
    ],
)
def test_a_backoff_is_any_function_of_the_retries(
    make_backend: MakeBackend, backoff: Any, seconds: float
) -> None:
    backend = make_backend(backoff=backoff)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)

    backend.fail_job(job_id, 0, {"seconds": 9})

    job = info(backend, job_id)
    assert job.delayed - (job.retried or 0) == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [lambda _: 1 / 0, lambda _: "soon", lambda _: float("nan")])
def test_a_failure_is_recorded_although_the_backoff_fails(
    make_backend: MakeBackend, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(backoff=wrong)
    worker = backend.register_worker()
    job_id = backend.enqueue("foo", attempts=3)
    claim(backend, worker)

    assert backend.fail_job(job_id, 0, "oops")

    job = info(backend, job_id)
    assert (job.state, job.attempts, job.result) == ("inactive", 2, "oops")
    assert job.delayed - (job.retried or 0) == pytest.approx(15)
    assert "15 seconds" in caplog.text


def test_what_is_no_backoff_is_refused(make_backend: MakeBackend) -> None:
    with pytest.raises(InvalidType, match="function of the retries"):
        make_backend(backoff=3)


def test_the_last_failure_asks_for_no_backoff(make_backend: MakeBackend) -> None:
    asked: list[int] = []
    backend = make_backend(backoff=asked.append)
    worker = backend.register_worker()

    failed_job(backend, worker)

    assert asked == []


def test_a_failed_job_can_be_retried_as_if_it_had_attempts_left(
    backend: Backend, worker: int
) -> None:
    job_id = failed_job(backend, worker)

    assert not backend.auto_retry_job(job_id, 0, 1)
    assert info(backend, job_id).state == "failed"
    assert backend.auto_retry_job(job_id, 0, 3)

    job = info(backend, job_id)
    assert (job.state, job.attempts, job.retries) == ("inactive", 2, 1)
    assert job.delayed - (job.retried or 0) == pytest.approx(15)


def test_a_failure_remembers_its_exit_status_for_the_next_attempt(
    backend: Backend, worker: int
) -> None:
    job_id = backend.enqueue("foo", attempts=2)
    claim(backend, worker)

    backend.fail_job(job_id, 0, "broken", exit={"code": 75})

    job = info(backend, job_id)
    assert (job.state, job.exit) == ("inactive", {"code": 75})
    assert [attempt["exit"] for attempt in job.history] == [{"code": 75}]
