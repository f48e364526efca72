"""Chains, groups and batches: jobs that wait for each other, and what they hand on."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq import Spool, current_job
from spoolq.errors import InvalidType
from tests.support import info as info_of


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def tasks(spool: Spool, told: list[Any]) -> Spool:
    @spool.task
    def number(value: int) -> int:
        if value < 0:
            raise ValueError(value)
        return value

    @spool.task
    def total(word: str = "total") -> int:
        job = current_job()
        assert job is not None
        results = job.parent_results()
        told.append((word, results))
        return sum(value for value in results if isinstance(value, int))

    return spool


def call(spool: Spool, name: str, *args: Any) -> Any:
    return spool.tasks[name].call(*args)


def test_each_job_of_a_chain_waits_for_the_one_before_it(tasks: Spool) -> None:
    jobs = tasks.chain(call(tasks, "number", 1), call(tasks, "total"), call(tasks, "total"))

    parents = [info_of(tasks.backend, job.id).parents for job in jobs]

    assert parents == [[], [jobs[0].id], [jobs[1].id]]


def test_a_child_reads_what_its_parents_have_returned(tasks: Spool, told: list[Any]) -> None:
    parts = tasks.group(call(tasks, "number", value) for value in (1, 2, 3))
    job = tasks.tasks["total"].using(parents=parts).enqueue()

    tasks.perform_jobs_in_foreground()

    assert (told, job.result(0)) == ([("total", [1, 2, 3])], 6)


def test_what_follows_a_batch_runs_when_all_have_finished(tasks: Spool, told: list[Any]) -> None:
    with tasks.batch(
        on_finished=call(tasks, "total", "good"), on_failed=call(tasks, "total", "bad")
    ) as batch:
        for value in (1, 2):
            batch.enqueue(call(tasks, "number", value))

    tasks.perform_jobs_in_foreground()

    assert told == [("good", [1, 2])]
    assert batch.finished is not None
    assert batch.finished.result(0) == 3


def test_the_failure_of_one_enqueues_what_is_for_failures_once(
    tasks: Spool, told: list[Any]
) -> None:
    with tasks.batch(
        on_finished=call(tasks, "total", "good"), on_failed=call(tasks, "total", "bad")
    ) as batch:
        for value in (1, -2, -3):
            batch.enqueue(call(tasks, "number", value))

    tasks.perform_jobs_in_foreground()
    assert [word for word, _ in told] == ["bad"]
    assert batch.failed is not None

    batch.failed.retry()
    tasks.perform_jobs_in_foreground()
    assert [word for word, _ in told] == ["bad"]


def test_nothing_follows_a_batch_that_an_exception_has_left(tasks: Spool) -> None:
    def leave() -> None:
        with tasks.batch(on_finished=call(tasks, "total")) as batch:
            batch.enqueue(call(tasks, "number", 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        leave()

    assert tasks.jobs().total == 1


def test_of_no_jobs_all_have_finished(tasks: Spool) -> None:
    on_failed = call(tasks, "total")
    with tasks.batch(on_finished=call(tasks, "total"), on_failed=on_failed) as batch:
        pass

    assert batch.failed is None
    assert [job.task for job in tasks.jobs()] == ["total"]
    tasks.perform_jobs_in_foreground()
    assert batch.finished is not None
    assert batch.finished.info() == next(iter(tasks.jobs(states=["finished"])))


def test_what_is_no_call_is_refused_before_anything_is_stored(tasks: Spool) -> None:
    with pytest.raises(InvalidType, match=r"task\.call"):
        tasks.chain(call(tasks, "number", 1), "total")  # type: ignore[arg-type]  # the point
    assert tasks.jobs().total == 0


def test_the_arguments_of_a_call_are_checked_where_it_is_made(tasks: Spool) -> None:
    with pytest.raises(InvalidType):
        call(tasks, "number")
