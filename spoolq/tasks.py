"""Tasks: functions that can be called here and now, or enqueued to be called by a worker."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
)

from spoolq.arguments import Arguments, Parameters
from spoolq.errors import InvalidType, InvalidValue, Retry
from spoolq.flows import Signature
from spoolq.job import Job, Seconds, current_job, is_async
from spoolq.model import JSON
from spoolq.transitions import Backoff, call_backoff

P = ParamSpec("P")
R = TypeVar("R")

UniqueWhile = Literal["unfinished", "waiting"]
OnConflict = Literal["return", "raise", "replace"]
Concurrency = tuple[str, int]
"""(key, how many jobs with this key may run at once)."""
Rate = tuple[str, int, float]
"""(key, how many jobs with this key may start, within how many seconds)."""

RUNNERS: Final = ("fork", "pool", "aio")
"""How a function can be performed: a child a job, children that stay, coroutines in one child."""


class BatchOptions(TypedDict, total=False):
    """The options of `Spool.enqueue_many`."""

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
    concurrency: Concurrency | Sequence[Concurrency] | None
    rate: Rate | Sequence[Rate] | None


class EnqueueOptions(BatchOptions, total=False):
    """The options of `Spool.enqueue`."""

    unique: str | bool | None
    unique_while: UniqueWhile | None
    unique_for: Seconds | None
    on_conflict: OnConflict


Errors = type[Exception] | tuple[type[Exception], ...]


class TaskOptions(TypedDict, total=False):
    """The options of `@spool.task`: those of its jobs, and what is so of the task itself.

    `unique`, and the keys of `concurrency` and `rate`, may name arguments: `"tenant:{tenant}"`.
    """

    name: str | None
    aliases: Sequence[str]
    """Former names: jobs that were enqueued under one of them are performed too."""
    runner: str | None
    retry_on: Errors | None
    """Only these errors are worth another attempt; any other fails the job for good."""
    give_up_on: Errors | None
    """These errors fail the job for good, whatever attempts are left."""
    backoff: Backoff | None
    """`backoff(retries)` or `backoff(retries, error)`: seconds until the next attempt."""
    queue: str | None
    priority: int | None
    attempts: int | None
    timeout: Seconds | None
    unique: str | bool | None
    unique_while: UniqueWhile | None
    unique_for: Seconds | None
    on_conflict: OnConflict
    concurrency: Concurrency | Sequence[Concurrency] | None
    rate: Rate | Sequence[Rate] | None


_OF_THE_TASK: Final = frozenset(
    {"name", "aliases", "runner", "retry_on", "give_up_on", "backoff", "takes_context"}
)


class AnyTask(Generic[P, R]):
    """A registered function, plain or `async def`: what makes jobs of its calls."""

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        enqueue: Callable[..., Job],
        aenqueue: Callable[..., Coroutine[Any, Any, Job]],
        *,
        takes_context: bool = False,
        options: dict[str, Any] | None = None,
        runner: str | None = None,
        retry_on: Errors | None = None,
        give_up_on: Errors | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Made by `Spool.task` and `Spool.add_task`. Raises InvalidType, InvalidValue."""
        if not callable(fn):
            raise InvalidType(f"task {name!r} must be a function, not {type(fn).__name__}")
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise InvalidType(f"task {name!r} is a generator: a job returns one result, a list")
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
        self._templates = {name: value for name, value in self.options.items() if _varies(value)}
        self._varies = bool(self._templates) or self.options.get("unique") is True
        self._retry_on = _errors(retry_on, "retry_on")
        self._give_up_on = _errors(give_up_on, "give_up_on")
        if backoff is not None and not callable(backoff):
            raise InvalidType(f"task {name!r}: backoff is a function of the number of retries")
        self._backoff = backoff
        self._enqueue, self._aenqueue = enqueue, aenqueue
        self.schedules: Final[set[str]] = set()
        """The schedules that `@spool.cron` has declared for it."""
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
        if self._varies:
            return self._enqueue(self.name, positional, named, **self._filled(args, kwargs))
        return self._enqueue(self.name, positional, named, **self.options)

    delay = enqueue
    """`enqueue`, as it is called in Celery."""

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """`enqueue` in asyncio: the loop goes on while the disk makes the job durable."""
        positional, named = self._parameters.encode(args, kwargs)
        options = self._filled(args, kwargs) if self._varies else self.options
        return await self._aenqueue(self.name, positional, named, **options)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Signature:
        """This call, with the options of the task, for a flow (`spoolq.flows`) or a batch
        (`Spool.enqueue_many`). Nothing is stored. Raises InvalidType as `enqueue` does."""
        positional, named = self._parameters.encode(args, kwargs)
        options = self._filled(args, kwargs) if self._varies else self.options
        return Signature(self.name, positional, named, options)

    make = call
    """`call`, as one says it of a batch."""

    def using(self, **options: Unpack[EnqueueOptions]) -> Self:
        """The same task with other options for the jobs it enqueues: they never get in the way of
        the function's own arguments."""
        unknown = options.keys() - EnqueueOptions.__annotations__.keys()
        if unknown:
            known = ", ".join(EnqueueOptions.__annotations__)
            raise InvalidType(f"there is no option {min(unknown)!r}, only {known}")
        task = copy.copy(self)
        task.options = {**self.options, **options}
        # What is given here is a key, whatever is in it; only the decorator has templates.
        task._templates = {  # noqa: SLF001
            name: value for name, value in self._templates.items() if name not in options
        }
        task._varies = bool(task._templates) or task.options.get("unique") is True  # noqa: SLF001
        return task

    def _filled(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with the arguments of a call in their keys. Raises InvalidValue.

        Of a call that is unique by its arguments it does not matter how they were given.
        """
        values = self._parameters.named(args, kwargs)
        try:
            filled = {name: _fill(value, values) for name, value in self._templates.items()}
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise InvalidValue(
                f"task {self.name!r}: a key names what is no argument of the call: {error!r}"
            ) from None
        if self.options.get("unique") is True:
            from spoolq.gates import check_key

            filled["unique"] = check_key(True, self.name, *self._parameters.canonical(args, kwargs))
        return {**self.options, **filled}

    def judge(self, error: Exception, retries: int) -> tuple[bool, float | None]:
        """Whether this error ends a job for good; else in how many seconds it is tried again,
        None where the spool's backoff says."""
        if isinstance(error, Retry):
            return False, None
        if self._retry_on is not None and not isinstance(error, self._retry_on):
            return True, None
        if self._give_up_on is not None and isinstance(error, self._give_up_on):
            return True, None
        if self._backoff is None:
            return False, None
        return False, call_backoff(self._backoff, retries, error)

    def decode(self, args: Sequence[JSON], kwargs: Mapping[str, JSON]) -> Arguments:
        """The arguments of a job as the function wants them. Raises InvalidType."""
        return self._parameters.decode(args, kwargs)

    def decode_result(self, value: JSON) -> Any:
        """A result as the function has returned it. Raises InvalidType."""
        return self._parameters.decode_result(value)

    def _context(self) -> tuple[Any, ...]:
        if not self.takes_context:
            return ()
        job = current_job()
        if job is None:
            raise InvalidType(f"task {self.name!r} takes a job, and none is performed here")
        return (job,)


def of_the_task(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `@spool.task` apart: what is so of the task, and what its jobs get."""
    known = TaskOptions.__annotations__.keys() | {"takes_context"}
    unknown = options.keys() - known
    if unknown:
        raise InvalidType(f"there is no option {min(unknown)!r}, only {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if value is not None}
    own = {name: value for name, value in given.items() if name in _OF_THE_TASK}
    return own, {name: value for name, value in given.items() if name not in _OF_THE_TASK}


def _errors(given: Errors | None, name: str) -> tuple[type[Exception], ...] | None:
    if given is None:
        return None
    errors = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(error, type) and issubclass(error, Exception) for error in errors):
        raise InvalidType(f"{name} is an exception class, or a tuple of them, not {given!r:.60}")
    return errors


def _varies(value: Any) -> bool:
    """Whether a key in an option names arguments."""
    if isinstance(value, str):
        return "{" in value
    return isinstance(value, list | tuple) and any(map(_varies, value))


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return value.format_map(values)
    return [_fill(item, values) for item in value] if isinstance(value, list | tuple) else value


class Task(AnyTask[P, R]):
    """A registered function. Calling it runs the function; `enqueue` makes a job of the call."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class AsyncTask(AnyTask[P, R]):
    """A registered `async def`. Calling it makes the coroutine."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
