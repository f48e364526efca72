"""Tasks: functions that can be called here and now, or enqueued to be called by a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar

from spoolq.errors import InvalidType, InvalidValue
from spoolq.job import Job, current_job, is_async

P = ParamSpec("P")
R = TypeVar("R")

RUNNERS: Final = ("fork", "pool", "aio")
"""How a function can be performed: a child a job, children that stay, coroutines in one child."""


class Task(Generic[P, R]):
    """A registered function. Calling it runs the function; `enqueue` makes a job of the call."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., R],
        enqueue: Callable[..., Job],
        *,
        takes_context: bool = False,
        options: dict[str, Any] | None = None,
        runner: str | None = None,
    ) -> None:
        """Made by `Spool.task` and `Spool.add_task`. Raises InvalidType, InvalidValue."""
        if not callable(fn):
            raise InvalidType(f"task {name!r} must be a function, not {type(fn).__name__}")
        if runner is not None and runner not in RUNNERS:
            raise InvalidValue(
                f"task {name!r}: a runner is one of {', '.join(RUNNERS)}: {runner!r}"
            )
        if runner == "aio" and not is_async(fn):
            raise InvalidType(f"task {name!r} must be an `async def` for the runner aio")
        self.name: Final = name
        self.runner: Final = runner
        self.fn: Final = fn
        self.takes_context: Final = takes_context
        self.options: Final = options or {}
        self._enqueue = enqueue
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now.

        With `takes_context` it gets the job that is being performed here; outside of a job that
        is an InvalidType.
        """
        if not self.takes_context:
            return self.fn(*args, **kwargs)
        job = current_job()
        if job is None:
            raise InvalidType(f"task {self.name!r} takes a job, and none is performed here")
        return self.fn(job, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Store this call as a job, with the options the task was registered with."""
        return self._enqueue(self.name, list(args), kwargs, **self.options)
