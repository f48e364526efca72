"""Tasks: functions that can be called here and now, or enqueued to be called by a worker."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack

from spoolq.arguments import Arguments, Parameters
from spoolq.errors import InvalidType, InvalidValue
from spoolq.job import Job, Seconds, current_job, is_async
from spoolq.model import JSON

P = ParamSpec("P")
R = TypeVar("R")

RUNNERS: Final = ("fork", "pool", "aio")
"""How a function can be performed: a child a job, children that stay, coroutines in one child."""


class EnqueueOptions(TypedDict, total=False):
    """The options of `Spool.enqueue`."""

    attempts: int
    delay: Seconds
    expire: Seconds | None
    lax: bool
    notes: Mapping[str, JSON] | None
    parents: Sequence[Any]
    priority: int
    queue: str
    timeout: Seconds | None
    hold: bool


class AnyTask(Generic[P, R]):
    """A registered function, plain or `async def`: what makes jobs of its calls."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
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
        self.options = options or {}
        self._enqueue = enqueue
        self._parameters = Parameters(name, fn, takes_context=takes_context)
        functools.update_wrapper(self, fn)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function here and now.

        With `takes_context` it gets the job that is being performed here; outside of a job that
        is an InvalidType.
        """
        return self.fn(*self._context(), *args, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store this call as a job, with the options the task was registered with.

        Raises InvalidType when the function cannot be called like that, or an argument has no form
        in JSON (`spoolq.arguments`).
        """
        positional, named = self._parameters.encode(args, kwargs)
        return self._enqueue(self.name, positional, named, **self.options)

    delay = enqueue
    """`enqueue`, as it is called in Celery."""

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """`enqueue` in asyncio: the loop goes on while the disk makes the job durable."""
        import asyncio  # 30 ms, which programs that use it have spent already

        return await asyncio.to_thread(self.enqueue, *args, **kwargs)

    def make(self, *args: P.args, **kwargs: P.kwargs) -> tuple[str, list[Any], dict[str, Any]]:
        """This call for `Spool.enqueue_many`, whose options count instead of the task's."""
        return (self.name, *self._parameters.encode(args, kwargs))

    def using(self, **options: Unpack[EnqueueOptions]) -> Self:
        """The same task with other options for the jobs it enqueues: they never get in the way of
        the function's own arguments."""
        unknown = options.keys() - EnqueueOptions.__annotations__.keys()
        if unknown:
            known = ", ".join(EnqueueOptions.__annotations__)
            raise InvalidType(f"there is no option {min(unknown)!r}, only {known}")
        task = copy.copy(self)
        task.options = {**self.options, **options}
        return task

    def decode(self, args: Sequence[JSON], kwargs: Mapping[str, JSON]) -> Arguments:
        """The arguments of a job as the function wants them. Raises InvalidType."""
        return self._parameters.decode(args, kwargs)

    def _context(self) -> tuple[Any, ...]:
        if not self.takes_context:
            return ()
        job = current_job()
        if job is None:
            raise InvalidType(f"task {self.name!r} takes a job, and none is performed here")
        return (job,)


class Task(AnyTask[P, R]):
    """A registered function. Calling it runs the function; `enqueue` makes a job of the call."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class AsyncTask(AnyTask[P, R]):
    """A registered `async def`. Calling it makes the coroutine."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
