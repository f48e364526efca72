"""Middleware around enqueue and run, hooks of a worker, and log records that say which job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq import Job, Middleware, Spool, Worker
from spoolq.errors import InvalidType
from spoolq.loop.plan import Terms
from spoolq.middleware import Call, Calls
from spoolq.process import process
from tests.support import info as info_of


class Around(Middleware):
    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
        self.told.append(f"{self.name} before {job.task}")
        try:
            return proceed()
        finally:
            self.told.append(f"{self.name} after")


def test_middleware_is_around_the_call_of_a_task_the_first_one_outermost(spool: Spool) -> None:
    told: list[str] = []
    spool.add_task("foo", lambda: told.append("foo"))
    for name in ("outer", "inner"):
        spool.add_middleware(Around(name, told))

    spool.enqueue("foo")
    spool.perform_jobs_in_foreground()

    assert told == [
        "outer before foo", "inner before foo", "foo", "inner after", "outer after",
    ]  # fmt: skip


def test_a_middleware_sees_the_error_and_may_answer_in_place_of_the_task(spool: Spool) -> None:
    class Forgiving(Middleware):
        def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
            try:
                return proceed()
            except ValueError as error:
                return f"forgiven {error}"

    def foo() -> None:
        raise ValueError("this")

    spool.add_task("foo", foo)
    spool.add_middleware(Forgiving())
    job = spool.enqueue("foo")

    spool.perform_jobs_in_foreground()

    assert job.result(0) == "forgiven this"


def test_what_a_middleware_raises_fails_the_job(spool: Spool) -> None:
    class Strict(Middleware):
        def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
            raise RuntimeError("not today")

    spool.add_task("foo", lambda: None)
    spool.add_middleware(Strict())
    job = spool.enqueue("foo")

    spool.perform_jobs_in_foreground()

    assert info_of(spool.backend, job.id).state == "failed"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_async_middleware_awaits_any_task(spool: Spool, asynchronous: bool) -> None:
    class Doubling(Middleware):
        async def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
            return 2 * await proceed()

    async def later() -> int:
        return 4

    spool.add_task("foo", later if asynchronous else lambda: 4)
    spool.add_middleware(Doubling())
    job = spool.enqueue("foo")

    spool.perform_jobs_in_foreground()

    assert job.result(0) == 8


def test_middleware_works_in_the_processes_of_a_worker_with_each_runner(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", durability="none")

    class Tagging(Middleware):
        async def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
            return f"tagged {await proceed()}"

    async def foo() -> str:
        return "foo"

    for runner in ("fork", "pool", "aio"):
        spool.task(name=runner, runner=runner)(foo)
    spool.add_middleware(Tagging())
    jobs = [spool.enqueue(runner) for runner in ("fork", "pool", "aio")]

    spool.worker().run(Terms(burst=True))

    assert [job.result(0) for job in jobs] == ["tagged foo"] * 3


def test_middleware_may_change_what_is_stored_or_store_nothing(spool: Spool) -> None:
    class Routing(Middleware):
        def enqueue(self, call: Call, proceed: Callable[[Call], Job[Any]]) -> Job[Any]:
            if call.task == "never":
                raise PermissionError(call.task)
            call.options["queue"] = "routed"
            call.kwargs["trace"] = "abc"
            return proceed(call)

    spool.add_middleware(Routing())

    stored = info_of(spool.backend, spool.enqueue("foo", [1]).id)

    assert (stored.queue, stored.args, stored.kwargs) == ("routed", [1], {"trace": "abc"})
    with pytest.raises(PermissionError):
        spool.enqueue("never")
    assert spool.jobs().total == 1


class Told(Middleware):
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def enqueue(self, call: Call, proceed: Callable[[Call], Job[Any]]) -> Job[Any]:
        self.told.append(f"plain {call.task} {call.options['queue']}")
        job = proceed(call)
        self.told.append(f"plain {type(job).__name__}")
        return job


class Asked(Middleware):
    def __init__(self, told: list[str]) -> None:
        self.told = told

    async def enqueue(self, call: Call, proceed: Callable[[Call], Awaitable[Job[Any]]]) -> Job[Any]:
        await asyncio.sleep(0)
        call.options["queue"] = "asked"
        job = await proceed(call)
        self.told.append(f"async {type(job).__name__}")
        return job


def test_an_async_middleware_awaits_the_enqueue_around_those_that_do_not(spool: Spool) -> None:
    told: list[str] = []
    task = spool.task(name="foo", attempts=3)(lambda: None)
    spool.add_middleware(Told(told))
    spool.add_middleware(Asked(told))

    job = asyncio.run(task.aenqueue())
    assert told == ["plain foo asked", "plain Job", "async Job"]
    stored = info_of(spool.backend, job.id)
    assert (stored.queue, stored.attempts) == ("asked", 3)

    by_name = asyncio.run(spool.aenqueue("bar", [1], priority=4, unique="bar"))
    stored = info_of(spool.backend, by_name.id)
    assert (stored.queue, stored.args, stored.priority) == ("asked", [1], 4)
    assert asyncio.run(spool.aenqueue("bar", [1], unique="bar")).duplicate


def test_what_follows_the_failure_of_a_batch_passes_an_async_middleware(spool: Spool) -> None:
    def fail() -> None:
        raise ValueError

    call, alarm = spool.task(fail).call(), spool.task(name="alarm")(lambda: None).call()
    with spool.batch(on_failed=alarm) as batch:
        batch.enqueue(call)
    spool.add_middleware(Asked([]))

    spool.perform_jobs_in_foreground()

    assert [info.queue for info in spool.jobs(tasks=["alarm"])] == ["asked"]


def test_many_enqueues_at_once_pass_an_async_middleware(spool: Spool) -> None:
    spool.add_middleware(Told([]))
    spool.add_middleware(Asked([]))

    async def all_of_them() -> list[Job[Any]]:
        return await asyncio.gather(*(spool.aenqueue("foo") for _ in range(100)))

    assert len({job.id for job in asyncio.run(all_of_them())}) == 100


def test_an_async_middleware_is_not_left_out_where_nobody_awaits_it(spool: Spool) -> None:
    spool.add_middleware(Asked([]))

    with pytest.raises(InvalidType, match=r"Asked\.enqueue is `async def`.*aenqueue"):
        spool.enqueue("foo")
    assert spool.jobs().total == 0


def test_a_middleware_is_called_once_for_a_batch(spool: Spool) -> None:
    class Routing(Middleware):
        def enqueue_many(self, calls: Calls, proceed: Callable[[Calls], list[int]]) -> list[int]:
            calls.options["queue"] = "routed"
            calls.jobs = [job for job in calls.jobs if job != "never"]
            return proceed(calls)

    spool.add_middleware(Routing())

    ids = spool.enqueue_many(["foo", "never", ("bar", [1])])

    assert [info_of(spool.backend, id_).queue for id_ in ids] == ["routed", "routed"]


def test_what_is_no_middleware_is_refused(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="derived"):
        spool.add_middleware(Told)  # type: ignore[arg-type]  # the class, not an object of it


def test_a_worker_calls_the_hooks_of_its_program_before_and_after(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", durability="none")
    told: list[str] = []
    shared: dict[str, str] = {}

    @spool.on_startup
    def load(worker: Worker) -> None:
        shared["model"] = "loaded"
        told.append("startup")

    @spool.on_shutdown
    def unload(worker: Worker) -> None:
        told.append("shutdown")

    @spool.task
    def ask() -> str:
        return shared["model"]

    job = ask.enqueue()
    spool.worker().run(Terms(burst=True))

    assert job.result(0) == "loaded"
    assert told == ["startup", "shutdown"]


WAYS: dict[str, Callable[[Spool], object]] = {
    "run": lambda spool: spool.worker().run(Terms(burst=True)),
    "process": process,
    "perform_jobs": lambda spool: spool.perform_jobs(),
    "perform_jobs_in_foreground": lambda spool: spool.perform_jobs_in_foreground(),
    "foreground": lambda spool: spool.foreground(1),
}


@pytest.mark.parametrize("way", WAYS)
def test_whichever_way_jobs_are_performed_the_hooks_are_called(tmp_path: Path, way: str) -> None:
    spool = Spool(tmp_path / "spool", durability="none")
    told: list[object] = []
    spool.on_startup(lambda worker: told.append("startup"))
    spool.on_shutdown(lambda worker: told.append("shutdown"))
    spool.add_task("ask", lambda: len(told))
    job = spool.enqueue("ask")

    WAYS[way](spool)

    assert (job.result(0), told) == (1, ["startup", "shutdown"])


def test_every_log_record_of_a_running_job_says_which_job(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    def foo() -> None:
        logging.getLogger("mine").warning("here", extra={"task": "the caller's own"})

    spool.add_task("foo", foo)
    job = spool.enqueue("foo", queue="mail")

    spool.perform_jobs_in_foreground(queues=["mail"])
    logging.getLogger("mine").warning("outside")

    inside, outside = [record for record in caplog.records if record.name == "mine"]
    fields = ("spoolq_job", "spoolq_task", "spoolq_queue", "spoolq_retries")
    assert [getattr(inside, name) for name in fields] == [job.id, "foo", "mail", 0]
    assert [getattr(outside, name) for name in fields] == [None] * 4
