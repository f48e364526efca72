"""The examples of the Python interface, as a program that two type checkers read and a test runs.

What is annotated here with a type is what a reader of the documentation may rely on: a checker
that infers another one says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_type

import pytest

from spoolq import (
    Cancel,
    DuplicateJob,
    Job,
    JobFailed,
    JobInfo,
    Middleware,
    Retry,
    Snooze,
    Spool,
    current_job,
)


@dataclass
class Address:
    street: str
    number: int


def tasks_and_results(spool: Spool) -> None:
    @spool.task(queue="mail", attempts=5, timeout=30, priority=10)
    def send_welcome(user_id: int, *, lang: str = "en") -> str:
        return f"{user_id} {lang}"

    assert_type(spool.enqueue_many([send_welcome.make(user) for user in (1, 2)]), list[int])
    assert_type(send_welcome(7), str)
    assert send_welcome(7) == "7 en"
    job = send_welcome.enqueue(7, lang="de")
    assert_type(job, Job[str])
    later = send_welcome.using(delay=60, unique="welcome-7").enqueue(7)
    assert_type(later, Job[str])
    same: Job[str] = send_welcome.delay(8)
    perform(spool, "mail")
    assert_type(job.result(timeout=5), str)
    assert job.result(timeout=5) == "7 de"
    assert same.result(0) == "8 en"


def awaited(spool: Spool) -> None:
    @spool.task
    async def double(number: int) -> int:
        return 2 * number

    async def main() -> int:
        job = await double.aenqueue(7)
        assert_type(job, Job[int])
        await asyncio.to_thread(perform, spool)
        return await job

    assert asyncio.run(main()) == 14


def by_name(spool: Spool) -> None:
    job = spool.enqueue("notify", ["Title", "Hello"], priority=5)
    assert_type(job, Job[Any])
    ids = spool.enqueue_many([("resize", [path]) for path in "ab"], queue="images")
    assert_type(ids, list[int])
    command = spool.exec(["convert", "a.tif", "a.png"], cwd="/", notes={"why": "thumbnail"})
    info = spool.job(command.id)
    assert info is not None
    rows: list[JobInfo] = list(spool.jobs(states=["inactive"], queues=["images"]))
    assert [row.id for row in rows] == ids[::-1]


def with_the_job(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def report(job: Job, pages: int) -> int:
        job.progress(pages, total=pages)
        return job.id

    job = report.enqueue(3)
    assert_type(job, Job[int])
    perform(spool)
    assert job.result(0) == job.id


def own_types(spool: Spool) -> None:
    @spool.task
    def visit(address: Address) -> str:
        return address.street

    job = visit.enqueue(Address("Main", 7))
    perform(spool)
    assert job.result(0) == "Main"


def errors(spool: Spool) -> None:
    @spool.task(
        attempts=3,
        retry_on=(OSError, ValueError),
        give_up_on=FileNotFoundError,
        backoff=lambda retries, error: 1.0 + retries,
    )
    def fetch(how: str) -> None:
        if how == "later":
            raise Snooze(60)
        if how == "again":
            raise Retry(delay=1)
        if how == "never":
            raise Cancel("no use")
        raise FileNotFoundError(how)

    job = fetch.enqueue("gone")
    perform(spool)
    with pytest.raises(JobFailed) as caught:
        job.result(0)
    assert_type(caught.value.message, str)
    assert caught.value.type == "FileNotFoundError"


def unique_and_limits(spool: Spool) -> None:
    @spool.task(
        unique="sync-{tenant}",
        unique_while="waiting",
        concurrency=("tenant:{tenant}", 2),
        rate=("api", 100, 3600),
    )
    def sync(tenant: int) -> None: ...

    first, second = sync.enqueue(7), sync.enqueue(7)
    assert_type(second.duplicate, bool)
    assert second.duplicate
    assert second.id == first.id
    with pytest.raises(DuplicateJob) as caught:
        sync.using(on_conflict="raise").enqueue(7)
    assert_type(caught.value.id, int)
    assert caught.value.id == first.id


def flows(spool: Spool) -> None:
    @spool.task
    def part(number: int) -> int:
        return number

    @spool.task
    def total() -> int:
        job = current_job()
        assert job is not None
        return sum(int(str(value)) for value in job.parent_results())

    spool.chain(part.call(1), part.call(2))
    parts = spool.group(part.call(number) for number in range(3))
    job = total.using(parents=parts).enqueue()
    with spool.batch(on_finished=total.call(), on_failed=part.call(-1)) as batch:
        batch.enqueue(part.call(4))
    perform(spool)
    assert job.result(0) == 3


class Resize:
    def run(self, path: str, *, width: int = 100) -> int:
        return len(path) * width


class Fetch:
    async def run(self, url: str) -> bytes:
        return url.encode()


class Report:
    def run(self, job: Job, pages: int) -> int:
        return job.id * pages


def classes(spool: Spool) -> None:
    assert_type(spool.task(Fetch).enqueue("u"), Job[bytes])
    assert_type(spool.task(takes_context=True)(Report).enqueue(3), Job[int])
    resize = spool.task(Resize)
    job = resize.enqueue("ab", width=3)
    assert_type(job, Job[int])
    perform(spool)
    assert job.result(0) == 6


class Loud(Middleware):
    def run(self, job: Job, proceed: Callable[[], Any]) -> Any:
        return proceed()


def hooks(spool: Spool) -> None:
    spool.add_middleware(Loud())
    spool.add_task("noop", lambda: None)
    job = spool.enqueue("noop")
    perform(spool)
    assert job.result(0) is None


def perform(spool: Spool, *queues: str) -> None:
    """What a worker does."""
    spool.perform_jobs_in_foreground(queues=queues or ["default"])


EXAMPLES: list[Callable[[Spool], None]] = [
    tasks_and_results,
    awaited,
    by_name,
    with_the_job,
    own_types,
    errors,
    unique_and_limits,
    flows,
    classes,
    hooks,
]
