"""Retry and Snooze: a task that says itself when it is to be tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from spoolq import Job, JobInfo, Retry, Snooze, Spool
from spoolq.files.store import FileBackend
from tests.support import FakeClock
from tests.support import info as info_of

Perform = Callable[[Spool], object]


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Spool:
    """In files: what a child does to a spool in memory nobody sees."""
    return Spool(FileBackend(str(tmp_path / "spool"), clock=clock, durability="none"))


@pytest.fixture(params=["in a process of its own", "in the foreground"])
def perform(request: pytest.FixtureRequest) -> Perform:
    """Perform everything that is due, in one way or the other."""
    return Spool.perform_jobs if "own" in request.param else Spool.perform_jobs_in_foreground


def raising(spool: Spool, error: Exception, **options: int) -> Job:
    """A job whose task raises this."""

    def task() -> None:
        raise error

    spool.add_task("task", task)
    return spool.enqueue("task", **options)  # type: ignore[arg-type]


def after(spool: Spool, job: Job) -> JobInfo:
    return info_of(spool.backend, job.id)


def test_a_snoozed_job_waits_and_keeps_its_attempts(
    spool: Spool, clock: FakeClock, perform: Perform
) -> None:
    job = raising(spool, Snooze(60), attempts=3)

    perform(spool)

    found = after(spool, job)
    assert (found.state, found.attempts, found.retries) == ("inactive", 3, 1)
    assert found.delayed == pytest.approx(clock.wall() + 60)


def test_a_snooze_may_be_a_timedelta(spool: Spool, clock: FakeClock, perform: Perform) -> None:
    job = raising(spool, Snooze(timedelta(minutes=1)))

    perform(spool)

    assert after(spool, job).delayed == pytest.approx(clock.wall() + 60)


def test_a_retry_uses_an_attempt(spool: Spool, clock: FakeClock, perform: Perform) -> None:
    job = raising(spool, Retry(delay=10), attempts=3)

    perform(spool)

    found = after(spool, job)
    assert (found.state, found.attempts, found.retries) == ("inactive", 2, 1)
    assert found.delayed == pytest.approx(clock.wall() + 10)


def test_a_retry_without_a_delay_follows_the_backoff(
    spool: Spool, clock: FakeClock, perform: Perform
) -> None:
    job = raising(spool, Retry(), attempts=3)

    perform(spool)

    found = after(spool, job)
    assert (found.state, found.attempts) == ("inactive", 2)
    assert found.delayed == pytest.approx(clock.wall() + 15)


def test_a_retry_without_attempts_left_fails_with_its_reason(
    spool: Spool, perform: Perform
) -> None:
    job = raising(spool, Retry("no answer yet", delay=10), attempts=1)

    perform(spool)

    found = after(spool, job)
    assert found.state == "failed"
    assert isinstance(found.result, dict)
    assert (found.result["type"], found.result["message"]) == ("Retry", "no answer yet")


def test_a_snoozed_job_runs_again_when_its_time_has_come(spool: Spool, clock: FakeClock) -> None:
    tries: list[int] = []

    @spool.task
    def wait() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise Snooze(60)
        return "there"

    job = wait.enqueue()
    for _ in range(3):
        spool.perform_jobs_in_foreground()
        clock.advance(61)

    assert job.result(timeout=0) == "there"


def test_a_snooze_of_no_number_fails_the_job_and_says_so(spool: Spool, perform: Perform) -> None:
    job = raising(spool, Snooze("soon"))

    perform(spool)

    found = after(spool, job)
    assert found.state == "failed"
    assert isinstance(found.result, dict)
    assert "delay" in str(found.result["message"])
