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
and hands it on. Both run in the process that performs the job, `enqueue` in the one that enqueues.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spoolq.job import Job


@dataclass
class Call:
    """A job that is about to be stored. A middleware may change any of it."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


class Middleware:
    """Does nothing: to be derived from."""

    def enqueue(self, call: Call, proceed: Callable[[Call], Job[Any]]) -> Job[Any]:
        """Around `Spool.enqueue`, and what makes use of it: return what `proceed(call)` returns.

        Not around `enqueue_many`, which stores a batch as a whole.
        """
        return proceed(call)

    def run(self, job: Job[Any], proceed: Callable[[], Any]) -> Any:
        """Around the call of a task: return the result. What it raises fails the job."""
        del job
        return proceed()


def around_enqueue(
    middleware: Sequence[Middleware], store: Callable[[Call], Job[Any]]
) -> Callable[[Call], Job[Any]]:
    """`store` with all of these around it."""
    for each in reversed(middleware):
        store = partial(_enqueue, each, store)
    return store


def _enqueue(each: Middleware, store: Callable[[Call], Job[Any]], call: Call) -> Job[Any]:
    return each.enqueue(call, store)


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
