"""Flows: jobs that wait for each other, put together from calls of tasks. On top of parents alone.

    spool.chain(fetch.call(url), parse.call(), store.call())      # one after the other
    spool.group(resize.call(p) for p in paths)                    # side by side

    with spool.batch(on_finished=report.call(), on_failed=alarm.call()) as batch:
        for path in paths:
            batch.enqueue(resize.call(path))

What a parent has returned, its child reads with `current_job().parent_results()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from spoolq.errors import InvalidType

if TYPE_CHECKING:
    from spoolq.job import Job
    from spoolq.model import JSON

_WEEK: Final = 7 * 86400.0  # seconds

Enqueue = Callable[..., "Job[Any]"]


class Signature(NamedTuple):
    """A call of a task that is not enqueued yet, with the options of its job."""

    task: str
    args: list[JSON]
    kwargs: dict[str, JSON]
    options: Mapping[str, Any]

    def enqueue(self, enqueue: Enqueue, parents: Sequence[Any] = (), **options: Any) -> Job[Any]:
        """Store it, behind these parents and those of its own options."""
        merged = {**self.options, **options}
        merged["parents"] = [*self.options.get("parents", ()), *parents]
        return enqueue(self.task, self.args, self.kwargs, **merged)


def chain(enqueue: Enqueue, calls: Iterable[Signature]) -> list[Job[Any]]:
    """Store these calls so that each waits for the one before it; the jobs, in order.

    One that fails for good keeps those behind it waiting, until it is retried or removed. They are
    stored one by one: who dies meanwhile leaves the first ones.
    """
    jobs: list[Job[Any]] = []
    for call in _checked(calls):
        jobs.append(call.enqueue(enqueue, jobs[-1:]))
    return jobs


def group(enqueue: Enqueue, calls: Iterable[Signature]) -> list[Job[Any]]:
    """Store these calls, which wait for nothing; the jobs, in order: parents for what follows."""
    return [call.enqueue(enqueue) for call in _checked(calls)]


class Batch:
    """Jobs with something to be done when all of them have ended.

    Use it as a context manager: what is to follow is stored when the block has been left, and
    not if it was left by an exception. The jobs run meanwhile.

    `on_finished` runs when all have finished, and not while one has failed: then it waits until
    that was retried or removed. Of no jobs at all every one has finished. `on_failed` is enqueued,
    once, when all have ended and one or more have failed, by a job of the task `spoolq.on_failed`
    that waits for all of them.
    """

    def __init__(
        self,
        enqueue: Enqueue,
        on_finished: Signature | None,
        on_failed: Signature | None,
    ) -> None:
        """Made by `Spool.batch`."""
        _checked(call for call in (on_finished, on_failed) if call is not None)
        self._enqueue = enqueue
        self._on_finished = on_finished
        self._on_failed = on_failed
        self.jobs: list[Job[Any]] = []
        self.finished: Job[Any] | None = None
        """The job of `on_finished`, once the block was left."""
        self.failed: Job[Any] | None = None
        """The job that waits for a failure, once the block was left; none if there can be none."""

    def enqueue(self, call: Signature) -> Job[Any]:
        """Store a call as a job of this batch."""
        [checked] = _checked([call])
        job = checked.enqueue(self._enqueue)
        self.jobs.append(job)
        return job

    def add(self, jobs: Iterable[Job[Any]]) -> None:
        """Take jobs in that are stored already, as those of a chain."""
        self.jobs += jobs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            return
        if self._on_finished is not None:
            self.finished = self._on_finished.enqueue(self._enqueue, self.jobs)
        if self._on_failed is not None and self.jobs:
            call, known = self._on_failed, {"queue", "priority"}
            how = {name: value for name, value in call.options.items() if name in known}
            watcher = Signature(ON_FAILED, [call._asdict()], {}, how)
            self.failed = watcher.enqueue(self._enqueue, self.jobs, lax=True)


ON_FAILED: Final = "spoolq.on_failed"
"""The task that enqueues what a batch has for its failure. Every Python worker knows it."""


def on_failed(job: Job[Any], enqueue: Enqueue, call: Mapping[str, Any]) -> int | None:
    """Enqueue this call if a parent of the job has failed; the id of its job, its result."""
    infos = [parent.info() for parent in job.parents()]
    if not any(info is not None and info.state == "failed" for info in infos):
        return None
    # Once, also when this job runs twice because its worker died behind the enqueue.
    how = {"unique": f"{ON_FAILED} {job.id}", "unique_for": _WEEK, **call["options"]}
    return enqueue(call["task"], call["args"], call["kwargs"], **how).id


def _checked(calls: Iterable[Signature]) -> list[Signature]:
    found = list(calls)
    for call in found:
        if not isinstance(call, Signature):
            raise InvalidType(f"a flow is made of calls, `task.call(…)`, not of {call!r:.60}")
    return found
