"""Running a task in this very process."""

from __future__ import annotations

import os
import threading

import pytest

from spoolq import Job, Spool
from spoolq.errors import SpoolError
from tests.client.world import claim, info


@pytest.mark.minion(322, 323)
def test_execute_returns_nothing_and_leaves_the_job_active(spool: Spool) -> None:
    spool.add_task("add", lambda a, b: a + b)
    job = claim(spool, "add", 1, 2)
    assert job.execute() is None
    assert info(job).state == "active"


@pytest.mark.minion(322)
def test_execute_returns_what_the_task_raised(spool: Spool) -> None:
    spool.add_task("foo", lambda: 1 // 0)
    job = claim(spool, "foo")
    error = job.execute()
    assert isinstance(error, ZeroDivisionError)
    assert info(job).state == "active"


# Minion throws a return value away; ours is the result.
@pytest.mark.minion(82)
def test_what_a_task_returns_is_its_result(spool: Spool) -> None:
    spool.add_task("add", lambda a, *, b: {"sum": a + b})
    job = spool.enqueue("add", [1], {"b": 2})
    spool.perform_jobs_in_foreground()
    assert (info(job).state, info(job).result) == ("finished", {"sum": 3})


@pytest.mark.minion(79, 311)
def test_a_task_that_finished_its_job_keeps_that_result_whatever_follows(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def finish_and_raise(job: Job) -> None:
        assert job.finish("mine")
        raise ValueError

    job = finish_and_raise.enqueue()
    spool.perform_jobs_in_foreground()
    assert (info(job).state, info(job).result) == ("finished", "mine")


@pytest.mark.minion(81)
def test_a_task_that_failed_its_job_may_return_what_it_likes(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def fail_and_return(job: Job) -> object:
        assert job.fail({"e": 1})
        return object()

    job = fail_and_return.enqueue()
    spool.perform_jobs_in_foreground()
    assert (info(job).state, info(job).result) == ("failed", {"e": 1})


# Minion finishes such a job without a result.
@pytest.mark.minion(85)
def test_a_return_value_that_is_no_json_fails_the_job(spool: Spool) -> None:
    spool.add_task("foo", lambda: {1: object()})
    job = spool.enqueue("foo")
    spool.perform_jobs_in_foreground()
    assert info(job).state == "failed"
    assert info(job).result["type"] == "InvalidType"
    assert "result" in info(job).result["message"]


def test_a_number_that_json_lacks_fails_the_job(spool: Spool) -> None:
    spool.add_task("foo", lambda: float("nan"))
    job = spool.enqueue("foo")
    spool.perform_jobs_in_foreground()
    assert info(job).state == "failed"


@pytest.mark.minion(83, 84)
def test_an_exception_is_stored_with_its_type_message_and_traceback(spool: Spool) -> None:
    @spool.task
    def broken() -> None:
        raise LookupError("nobody home\n")

    job = broken.enqueue()
    spool.perform_jobs_in_foreground()
    result = info(job).result
    assert (result["type"], result["message"]) == ("LookupError", "nobody home\n")
    assert result["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in broken" in result["traceback"]
    assert "spoolq/job.py" not in result["traceback"]


@pytest.mark.minion(315)
def test_a_start_handler_may_change_the_task_and_its_arguments(spool: Spool) -> None:
    spool.add_task("add", lambda a, b: a + b)
    spool.add_task("mul", lambda a, b: a * b)
    job = claim(spool, "add", 3, 4)

    def change(job: Job) -> None:
        job.task = "mul"
        job.args[-1] += 1

    job.on("start", change)
    assert job.perform_here() is None
    assert (info(job).result, info(job).task, info(job).args) == (15, "add", [3, 4])


def test_what_a_task_does_to_its_arguments_stays_out_of_the_record(spool: Spool) -> None:
    @spool.task
    def empty(items: list[dict[str, int]], *, more: list[int]) -> None:
        items[0].clear()
        more.clear()

    spool.enqueue("empty", [[{"a": 1}]], {"more": [2]})
    spool.perform_jobs_in_foreground()
    (job,) = spool.jobs()
    assert (job.state, job.args, job.kwargs) == ("finished", [[{"a": 1}]], {"more": [2]})


@pytest.mark.minion(316)
@pytest.mark.parametrize("event", ["start", "finish"])
def test_a_handler_that_raises_fails_the_job(spool: Spool, event: str) -> None:
    spool.add_task("foo", lambda: None)
    job = claim(spool, "foo")
    job.on(event, lambda _: 1 // 0)
    assert isinstance(job.perform_here(), ZeroDivisionError)
    assert info(job).state == "failed"
    assert info(job).result["type"] == "ZeroDivisionError"


def test_what_ends_this_process_fails_the_job_first(spool: Spool) -> None:
    @spool.task
    def interrupted() -> None:
        raise KeyboardInterrupt

    job = interrupted.enqueue()
    with pytest.raises(KeyboardInterrupt):
        spool.perform_jobs_in_foreground()
    assert info(job).result["type"] == "KeyboardInterrupt"
    assert spool.workers().total == 0


def test_a_task_that_retries_its_own_job_is_not_finished(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def later(job: Job) -> str:
        assert job.retry(delay=60)
        return "ignored"

    job = later.enqueue()
    assert spool.perform_jobs_in_foreground() == 1
    assert (info(job).state, info(job).retries) == ("inactive", 1)


def test_two_threads_have_a_current_job_each(spool: Spool) -> None:
    both = threading.Barrier(2)
    seen = []

    @spool.task(takes_context=True)
    def meet(job: Job) -> None:
        both.wait(10)
        seen.append(job.id == inner())

    @spool.task(takes_context=True)
    def inner(job: Job) -> int:
        return job.id

    jobs = [claim(spool, "meet"), claim(spool, "meet")]
    threads = [threading.Thread(target=job.execute, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True]


def test_a_program_that_fails_here_is_a_spool_error(file_spool: Spool) -> None:
    program(file_spool, "bad", "exit 3")
    job = claim(file_spool, "bad")
    error = job.perform_here()
    assert isinstance(error, SpoolError)
    assert "exit status 3" in str(error)
    assert info(job).state == "failed"


def program(spool: Spool, name: str, text: str) -> None:
    path = f"{spool.root}/jobs/{name}.job"
    with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
        file.write(f"#!/bin/sh\n{text}\n")
