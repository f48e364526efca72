"""`pause` and `resume`: jobs that run stand still for a while, on whatever host they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import CONFLICT, NO
from spoolq.cli.output import print_json, say
from spoolq.cli.selecting import some_jobs
from spoolq.clock import Clock, SystemClock
from spoolq.model import JobInfo, WorkerInfo
from spoolq.why import paused_jobs

Verb = Literal["pause", "resume"]

_ANSWER: Final = 10.0  # seconds beyond its command interval that a worker is given to obey
_SAYS: Final = 2.0  # seconds between reading a command and saying what came of it
_LOOK: Final = 0.05  # seconds between two looks
_DONE: Final[dict[Verb, str]] = {"pause": "paused", "resume": "resumed"}


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(pause)
    app.command()(resume)


def pause(
    context: typer.Context, selectors: options.Selectors = None, as_json: options.AsJson = False
) -> None:
    """Stop active jobs with everything they started, until they are resumed.

    Their timeout stands still. Exit 1 when a worker gave no answer, 4 for a job that is not active
    or cannot be stopped by itself.
    """
    _steer(context, selectors, "pause", as_json=as_json)


def resume(
    context: typer.Context, selectors: options.Selectors = None, as_json: options.AsJson = False
) -> None:
    """Let paused jobs go on. Exit 4 for a job that is not paused."""
    _steer(context, selectors, "resume", as_json=as_json)


def _steer(
    context: typer.Context, selectors: list[str] | None, verb: Verb, *, as_json: bool
) -> None:
    spool = opened(context).spool
    jobs = some_jobs(spool, selectors).jobs[::-1]
    steering = _Steering(spool.backend, SystemClock(), verb)
    asked = [job for job in jobs if steering.may(job)]
    silent = steering.ask(asked)
    done = {job.id for job in asked if steering.is_so(job)}
    if as_json:
        print_json([{"id": job.id, _DONE[verb]: job.id in done} for job in jobs])
    for job in jobs:
        if job in silent:
            say(f"spoolq: job {job.id}: no answer from worker {job.worker}; spoolq workers")
        elif job.id not in done:
            say(f"spoolq: job {job.id} was not {_DONE[verb]}: {_why_not(job, verb, job in asked)}")
    if len(done) + len(silent) < len(jobs):
        raise typer.Exit(CONFLICT)
    if silent:
        raise typer.Exit(NO)


def _why_not(job: JobInfo, verb: Verb, asked: bool) -> str:
    if job.state != "active":
        return f"it is {job.state}, not active"
    if asked:
        return "it has ended, or is a coroutine that shares its process"
    return "it is not paused" if verb == "resume" else "nobody performs it"


class _Steering:
    """Commands to the workers that perform jobs, and looking whether they were obeyed."""

    def __init__(self, backend: Backend, clock: Clock, verb: Verb) -> None:
        self._backend = backend
        self._clock = clock
        self._verb: Verb = verb

    def may(self, job: JobInfo) -> bool:
        """Whether this can be asked of the job's worker at all."""
        if job.state != "active" or job.worker is None:
            return False
        return self._verb == "pause" or job.id in self._paused(job)

    def is_so(self, job: JobInfo) -> bool:
        """Whether the worker says that the job is as it was asked to be, and it still runs."""
        if (job.id in self._paused(job)) != (self._verb == "pause"):
            return False
        rows: list[JobInfo] = self._backend.list_jobs(0, 1, ids=[job.id]).rows
        now = rows[0] if rows else None
        # One that has been resumed may have ended since.
        return self._verb == "resume" or (
            now is not None and (now.state, now.retries) == ("active", job.retries)
        )

    def ask(self, jobs: Sequence[JobInfo]) -> list[JobInfo]:
        """Tell their workers, and wait until all have obeyed; those whose worker was silent."""
        left = [job for job in jobs if not self.is_so(job)]
        for job in left:
            self._backend.broadcast(self._verb, [job.id], [job.worker])
        intervals = [worker.status.get("command_interval", 0) for worker in self._workers(left)]
        until = self._clock.elapsed() + max(intervals, default=0) + _ANSWER
        read_at: dict[int, float] = {}
        while left and self._clock.elapsed() < until:
            left = [job for job in left if not self.is_so(job)]
            now = self._clock.elapsed()
            for job in left:
                if job.worker is not None and not self._backend.unread(job.worker):
                    read_at.setdefault(job.id, now)
            if all(now - read_at.get(job.id, now) > _SAYS for job in left):
                break
            self._clock.sleep(_LOOK)
        return [job for job in left if job.id not in read_at]

    def _paused(self, job: JobInfo) -> list[int]:
        return [id_ for worker in self._workers([job]) for id_ in paused_jobs(worker)]

    def _workers(self, jobs: Sequence[JobInfo]) -> list[WorkerInfo]:
        ids = {job.worker for job in jobs if job.worker is not None}
        rows: list[WorkerInfo] = self._backend.list_workers(0, len(ids), ids=ids).rows
        return rows
