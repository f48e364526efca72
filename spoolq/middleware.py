"""Middleware: what a program wants done around every enqueue and around every run.

One class for both, with the two methods that it needs; what it does not define changes nothing:

    class Timed(Middleware):
        def run(self, job, proceed):
            began = time.monotonic()
            try:
                return proceed()
            finally:
                metrics.observe(job.task, time.monotonic() - began)

    spool.add_middleware(Timed())

The first one that was added is the outermost. A `run` that is `async def` awaits `proceed()`,
whatever the task is; one that is not gets a coroutine from `proceed()` if the task is `async def`,
and hands it on. An `enqueue` that is `async def` awaits `proceed(call)`; it is for programs that
enqueue with `aenqueue`, and is outside of those that are not, which run in the thread that stores
the job. `run` is called in the process that performs the job, `enqueue` in the one that enqueues.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from spoolq.errors import InvalidType

if TYPE_CHECKING:
    from spoolq.job import Job


@dataclass
class Call:
    """A job that is about to be stored. A middleware may change any of it."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Calls:
    """A batch that is about to be stored. A middleware may change any of it."""

    jobs: list[str | Sequence[Any]]
    """Each a task's name, or (task, args, kwargs): what was given to `enqueue_many`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Those that were given, for all of the jobs."""


class Middleware:
    """Does nothing: to be derived from."""

    def enqueue(self, call: Call, proceed: Callable[[Call], Any]) -> Any:
        """Around `Spool.enqueue` and `aenqueue`, and what makes use of them: return the job that
        `proceed(call)` returns. Jobs of schedules are made by the spool, and pass nothing."""
        return proceed(call)

    def enqueue_many(self, calls: Calls, proceed: Callable[[Calls], list[int]]) -> list[int]:
        """Around `Spool.enqueue_many`, once for the batch: return the ids that `proceed(calls)`
        returns. `enqueue` is not called for its jobs: they are stored together or not at all."""
        return proceed(calls)

    def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
        """Around the call of a task: return the result. What it raises fails the job."""
        del job
        return proceed()


def around_enqueue(
    middleware: Sequence[Middleware], store: Callable[[Call], Job[Any]]
) -> Callable[[Call], Job[Any]]:
    """`store` with all of these around it. Raises InvalidType if one has to be awaited."""
    for each in reversed(middleware):
        if _awaits(each):
            raise InvalidType(
                f"{type(each).__name__}.enqueue is `async def`, and nobody awaits it here: "
                "use aenqueue"
            )
        store = partial(each.enqueue, proceed=store)
    return store


def around_enqueue_many(
    middleware: Sequence[Middleware], store: Callable[[Calls], list[int]]
) -> Callable[[Calls], list[int]]:
    """`store` with all of these around it."""
    for each in reversed(middleware):
        store = partial(each.enqueue_many, proceed=store)
    return store


def around_aenqueue(
    middleware: Sequence[Middleware], store: Callable[[Call], Job[Any]]
) -> Callable[[Call], Awaitable[Job[Any]]]:
    """`store` in a thread, with all of these around it: in the thread those that are not async."""
    import asyncio  # 30 ms, which programs that use it have spent already

    # A plain one around an async one would hold its thread while others wait for a thread to store
    # in, until all threads are held by such: so the async ones are outside.
    inner = around_enqueue([each for each in middleware if not _awaits(each)], store)

    async def proceed(call: Call) -> Job[Any]:
        return await asyncio.to_thread(inner, call)

    outer: Callable[[Call], Awaitable[Job[Any]]] = proceed
    for each in reversed(middleware):
        if _awaits(each):
            outer = partial(each.enqueue, proceed=outer)
    return outer


def has_async_enqueue(middleware: Sequence[Middleware]) -> bool:
    """Whether one of these has to be awaited by who enqueues."""
    return any(map(_awaits, middleware))


def _awaits(each: Middleware) -> bool:
    return inspect.iscoroutinefunction(each.enqueue)


def around_run(
    middleware: Sequence[Middleware], job: Job[Any], call: Callable[[], Any]
) -> Callable[[], Any]:
    """`call` with all of these around it."""
    for each in reversed(middleware):
        if type(each).run is Middleware.run:
            continue
        inner = partial(_awaited, call) if inspect.iscoroutinefunction(each.run) else call
        call = partial(each.run, job, inner)
    return call


async def _awaited(call: Callable[[], Any]) -> Any:
    value = call()
    return await value if isinstance(value, Awaitable) else value
