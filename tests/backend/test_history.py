"""What ended in the last day, by the hour [238-242]."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from spoolq.backend import Backend
from tests.support import FakeClock, claim, failed_job, finished_job, info

HOUR = 3600


@pytest.fixture
def clock() -> FakeClock:
    """Half past some hour, UTC."""
    return FakeClock(wall=500_000 * HOUR + HOUR / 2)


def hours(backend: Backend) -> list[dict[str, Any]]:
    daily: list[dict[str, Any]] = backend.history()["daily"]
    return daily


def totals(backend: Backend) -> tuple[int, int]:
    counts = hours(backend)
    return sum(hour["finished_jobs"] for hour in counts), sum(
        hour["failed_jobs"] for hour in counts
    )


@pytest.mark.minion(238)
def test_the_history_is_a_day_of_hours_that_ends_now(backend: Backend, clock: FakeClock) -> None:
    daily = hours(backend)

    assert len(daily) == 24
    epochs = [hour["epoch"] for hour in daily]
    assert epochs[-1] == pytest.approx(clock.wall())
    steps = [later - earlier for earlier, later in pairwise(epochs)]
    assert steps == pytest.approx([HOUR] * 23)
    assert all(set(hour) == {"epoch", "finished_jobs", "failed_jobs"} for hour in daily)
    assert totals(backend) == (0, 0)


@pytest.mark.minion(239)
def test_a_job_counts_in_the_hour_it_ended(backend: Backend, worker: int, clock: FakeClock) -> None:
    finished_job(backend, worker)
    failed_job(backend, worker)
    clock.advance(2 * HOUR)
    backend.register_worker(worker)
    finished_job(backend, worker)

    daily = hours(backend)

    assert [hour["finished_jobs"] for hour in daily] == [0] * 21 + [1, 0, 1]
    assert [hour["failed_jobs"] for hour in daily] == [0] * 21 + [1, 0, 0]


@pytest.mark.minion(239)
def test_the_hours_are_those_of_the_clock(backend: Backend, worker: int, clock: FakeClock) -> None:
    finished_job(backend, worker)
    clock.advance(0.75 * HOUR)

    daily = hours(backend)

    assert [hour["finished_jobs"] for hour in daily[-2:]] == [1, 0]


@pytest.mark.minion(239, 240)
def test_the_first_entry_is_twenty_three_hours_back(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    clock.advance(0.25 * HOUR)
    finished_job(backend, worker)
    clock.advance(22.9 * HOUR)

    assert hours(backend)[0]["finished_jobs"] == 1


@pytest.mark.minion(240)
def test_what_ended_more_than_twenty_three_hours_ago_is_history(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    finished_job(backend, worker)
    failed_job(backend, worker)
    clock.advance(22.5 * HOUR)
    assert totals(backend) == (1, 1)

    clock.advance(0.5 * HOUR + 60)

    assert totals(backend) == (0, 0)


@pytest.mark.minion(241)
def test_only_jobs_that_are_still_finished_or_failed_count(backend: Backend, worker: int) -> None:
    removed = finished_job(backend, worker)
    retried = failed_job(backend, worker)
    failed_job(backend, worker, attempts=2)
    assert totals(backend) == (1, 1)

    backend.remove_job(removed)
    backend.retry_job(retried, 0)

    assert totals(backend) == (0, 0)


@pytest.mark.minion(241)
def test_a_job_that_ran_again_counts_once(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = failed_job(backend, worker)
    clock.advance(HOUR)
    backend.retry_job(job_id, 0)
    backend.register_worker(worker)
    claim(backend, worker)

    backend.finish_job(job_id, 1)

    assert totals(backend) == (1, 0)
    assert hours(backend)[-1]["finished_jobs"] == 1


@pytest.mark.minion(242)
def test_a_stuck_job_is_not_in_the_history(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo")
    clock.advance(49 * HOUR)
    backend.repair()
    assert info(backend, job_id).state == "failed"

    assert totals(backend) == (0, 0)
