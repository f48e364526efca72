"""What `Spool`'s decorators and options look like to a type checker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    overload,
)

from spoolq.job import Job, Seconds
from spoolq.model import JSON
from spoolq.tasks import AsyncTask, Concurrency, Rate, Task

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class DequeueOptions(TypedDict, total=False):
    """Which jobs to perform; without `tasks` those that can be performed here."""

    id: Any
    min_priority: int | None
    queues: Sequence[str]
    tasks: Sequence[str] | None


class Runs(Protocol[P, R_co]):
    """An object with a method `run`, which is a task."""

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Do it."""


class RunsAsync(Protocol[P, R_co]):
    """The same with an `async def run`."""

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Do it."""


class RunsWithContext(Protocol[P, R_co]):
    """The same with `takes_context`."""

    def run(self, job: Job, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Do it."""


class RunsAsyncWithContext(Protocol[P, R_co]):
    """The same with both."""

    def run(self, job: Job, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Do it."""


class ScheduleOptions(TypedDict, total=False):
    """The options of a schedule: its own, and those of its jobs."""

    tz: str
    catch_up: Literal["none", "latest", "all"]
    overlap: Literal["allow", "skip"]
    jitter: Seconds
    kwargs: Mapping[str, JSON] | None
    attempts: int
    expire: Seconds | None
    lax: bool
    notes: Mapping[str, JSON] | None
    priority: int
    queue: str
    timeout: Seconds | None
    concurrency: Concurrency | Sequence[Concurrency] | None
    rate: Rate | Sequence[Rate] | None


class Cron(Protocol):
    """`@spool.cron(…)`: a task stays what it is, a function becomes one."""

    @overload
    def __call__(self, fn: AsyncTask[P, R], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Task[P, R], /) -> Task[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, cls: type[RunsAsync[P, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, cls: type[Runs[P, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


class Register(Protocol):
    """`@spool.task(…)`."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, cls: type[RunsAsync[P, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, cls: type[Runs[P, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # the first that fits counts
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


class RegisterWithContext(Protocol):
    """`@spool.task(takes_context=True, …)`: the job is no argument of the call."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, cls: type[RunsAsyncWithContext[P, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, cls: type[RunsWithContext[P, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[Job, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Job, P], R], /) -> Task[P, R]: ...
