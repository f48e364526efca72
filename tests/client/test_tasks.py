"""Registering functions, and calling them here or later."""

from __future__ import annotations

import pytest

from spoolq import Job, Spool, Worker
from spoolq.errors import InvalidType, InvalidValue
from spoolq.job import current_job


def test_add_task_registers_a_function_under_a_name(spool: Spool) -> None:
    task = spool.add_task("add", lambda a, b: a + b)
    assert spool.tasks["add"] is task
    assert task(1, 2) == 3


def test_a_second_function_of_the_same_name_replaces_the_first(spool: Spool) -> None:
    spool.add_task("foo", lambda: 1)
    spool.add_task("foo", lambda: 2)
    assert spool.tasks["foo"]() == 2


def test_the_tasks_of_a_spool_are_only_to_be_read(spool: Spool) -> None:
    with pytest.raises(TypeError):
        spool.tasks["foo"] = spool.add_task("bar", print)  # type: ignore[index]  # the point


def test_a_task_needs_a_name_and_a_function(spool: Spool) -> None:
    with pytest.raises(InvalidValue):
        spool.add_task("", print)
    with pytest.raises(InvalidType):
        spool.add_task("foo", "print")  # type: ignore[call-overload]  # the point
    assert dict(spool.tasks) == {}


def test_a_decorated_function_still_runs_when_it_is_called(spool: Spool) -> None:
    @spool.task
    def double(number: int, *, more: int = 0) -> int:
        """Twice."""
        return 2 * number + more

    assert double(4, more=1) == 9
    assert (double.name, double.__doc__) == ("double", "Twice.")
    assert list(spool.jobs()) == []


def test_enqueue_makes_a_job_of_the_call(spool: Spool) -> None:
    @spool.task
    def greet(name: str, *, lang: str = "en") -> str:
        return f"{name} {lang}"

    job = greet.enqueue("ada", lang="de")
    assert (job.task, job.args, job.kwargs) == ("greet", ["ada"], {"lang": "de"})


def test_the_options_of_a_task_are_those_of_its_jobs(spool: Spool) -> None:
    @spool.task(name="mail.send", queue="mail", priority=10, attempts=5, timeout=30)
    def send() -> None: ...

    info = send.enqueue().info()
    assert info is not None
    assert (info.task, info.queue, info.priority) == ("mail.send", "mail", 10)
    assert (info.attempts, info.timeout) == (5, 30)


def test_a_task_that_takes_its_context_is_given_the_job(spool: Spool, worker: Worker) -> None:
    @spool.task(takes_context=True)
    def whoami(job: Job, prefix: str) -> str:
        return f"{prefix}{job.id}"

    enqueued = whoami.enqueue("job ")
    assert enqueued.args == ["job "]
    spool.perform_jobs_in_foreground()
    info = enqueued.info()
    assert info is not None
    assert info.result == f"job {enqueued.id}"


def test_a_task_that_takes_its_context_passes_it_on_to_another(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def inner(job: Job) -> int:
        return job.id

    @spool.task
    def outer() -> int:
        return inner()

    job = outer.enqueue()
    spool.perform_jobs_in_foreground()
    info = job.info()
    assert info is not None
    assert info.result == job.id


def test_a_task_that_takes_its_context_cannot_be_called_without_one(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def whoami(job: Job) -> int:
        return job.id

    with pytest.raises(InvalidType, match="none is performed here"):
        whoami()


def test_there_is_a_current_job_only_while_one_is_performed(spool: Spool) -> None:
    seen: list[Job | None] = []
    spool.add_task("foo", lambda: seen.append(current_job()))
    job = spool.enqueue("foo")
    spool.perform_jobs_in_foreground()
    assert [current and current.id for current in seen] == [job.id]
    assert current_job() is None
