"""Steering jobs: `retry`, `hold`, `release`, `remove`, `kill`, `note` and `clean`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.autostart import ensure_served
from spoolq.cli.context import opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import CONFLICT, NO, USAGE, Refused
from spoolq.cli.formats import hint
from spoolq.cli.output import print_json, say
from spoolq.cli.selecting import STDIN, one_job, selection, some_jobs
from spoolq.clock import Clock, SystemClock
from spoolq.lookup import find
from spoolq.loop.remote import KILLS
from spoolq.model import JSON, JobInfo
from spoolq.selection import Selection, did_you_mean
from spoolq.spool import Spool
from spoolq.why import EXEC

GRACE: Final = "5s"  # between TERM and KILL
_ANSWER: Final = 10.0  # seconds beyond its command interval that a worker is given to obey
_LOOK: Final = 0.05  # seconds between two looks whether a job has ended

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(retry)
    app.command()(hold)
    app.command()(release)
    app.command()(remove)
    app.command("rm", hidden=True)(remove)
    app.command()(kill)
    app.command()(note)
    app.command()(clean)


def retry(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    queue: options.NewQueue = None,
    priority: options.Priority = None,
    delay: options.Delay = None,
    expire: options.Expire = None,
    attempts: options.Attempts = None,
    parent: options.Parents = None,
    lax: options.Lax = None,
    as_json: options.AsJson = False,
) -> None:
    """Run jobs again, whatever their state; what is not given stays as it was."""
    given = options.enqueue_options(
        queue=queue,
        priority=priority,
        delay=delay,
        expire=expire,
        attempts=attempts,
        parents=parent,
        lax=lax,
    )
    spool = opened(context).spool
    each(
        _oldest_first(spool, selectors),
        lambda job: spool.backend.retry_job(job.id, job.retries, **given),
        done="retried",
        refused="it was retried or removed by somebody else just now",
        as_json=as_json,
    )


def hold(
    context: typer.Context, selectors: options.Selectors = None, as_json: options.AsJson = False
) -> None:
    """Keep inactive jobs from being started until they are released."""
    spool = opened(context).spool
    each(
        _oldest_first(spool, selectors),
        lambda job: spool.backend.hold_job(job.id),
        done="held",
        refused="it is not inactive",
        as_json=as_json,
    )


def release(
    context: typer.Context, selectors: options.Selectors = None, as_json: options.AsJson = False
) -> None:
    """Let held jobs start, once they are due and nothing else keeps them."""
    spool = opened(context).spool
    jobs = _oldest_first(spool, selectors)
    each(
        jobs,
        lambda job: spool.backend.unhold_job(job.id),
        done="released",
        refused="it is not held",
        as_json=as_json,
    )
    for queue in sorted({job.queue for job in jobs if job.task == EXEC}):
        ensure_served(opened(context), queue)  # whoever was started for it may have left


def remove(
    context: typer.Context,
    selectors: options.Selectors = None,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove jobs that are not active."""
    spool = opened(context).spool
    jobs = _oldest_first(spool, selectors)
    _confirm(selectors, jobs, "remove", yes=yes)
    each(
        jobs,
        lambda job: spool.backend.remove_job(job.id),
        done="removed",
        refused="it is active",
        as_json=as_json,
    )


def clean(
    context: typer.Context,
    selectors: options.Selectors = None,
    older: Annotated[
        str, typer.Option("--older", metavar="DURATION", help="Ended at least so long ago.")
    ] = "0",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print ids, remove nothing.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Remove finished jobs, or those that a selector names; what is not over stays.

    `clean state:failed --older 30d` removes old failures.
    """
    least = parse_duration(older)
    asked = selection(selectors or ())
    if "state" not in asked.words:
        asked = Selection(
            asked.ids,
            asked.ranges,
            asked.last,
            {**asked.words, "state": ("finished",)},
            asked.everything,
        )
    backend = opened(context).spool.backend
    old = find(
        backend,
        asked,
        keep=lambda job, _: (
            job.state in ("finished", "failed")
            and job.time - (job.finished or job.created) >= least
        ),
    ).jobs
    # Oldest last: a parent that goes before its child counts as done for it.
    gone = [job.id for job in old if dry_run or backend.remove_job(job.id)]
    if as_json:
        print_json({"removed": [] if dry_run else gone, "would_remove": gone if dry_run else []})
    elif dry_run:
        print("".join(f"{job_id}\n" for job_id in gone), end="")
    else:
        hint(f"removed {len(gone)} jobs")


def note(
    context: typer.Context,
    *,
    selector: options.Selector,
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="JSON, else text.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Put notes on a job, in any state; `KEY=null` takes one away. Without any print them."""
    merge = dict(_pair(text) for text in pairs or ())
    spool = opened(context).spool
    job = one_job(spool, selector)
    if not merge:
        print_json(job.notes)
    elif not spool.backend.note(job.id, merge):
        raise Refused(CONFLICT, f"job {job.id} was removed by somebody else just now")
    elif as_json:
        print_json({"id": job.id, "noted": True})


def kill(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    signal: Annotated[
        str | None,
        typer.Option("--signal", "-s", metavar="|".join(KILLS), help="This one, and no more."),
    ] = None,
    grace: Annotated[
        str, typer.Option("--grace", metavar="DURATION", help="Between TERM and KILL.")
    ] = GRACE,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Stop active jobs, on whatever host they run: TERM, and KILL for what does not end.

    Exit 1 when a worker gave no answer, 4 for a job that is not active.
    """
    name = None if signal is None else _signal(signal)
    seconds = parse_duration(grace)
    spool = opened(context).spool
    jobs = _oldest_first(spool, selectors)
    active = [job for job in jobs if job.state == "active"]
    _confirm(selectors, active, "kill", yes=yes)
    killing = _Killing(spool.backend, SystemClock())
    ended = killing.send(active, name) if name else killing.end(active, seconds)
    if as_json:
        print_json([{"id": job.id, "killed": job.id in ended} for job in jobs])
    for job in jobs:
        if job.state != "active":
            say(f"spoolq: job {job.id} is not active, it is {job.state}; spoolq remove {job.id}")
        elif job.id not in ended:
            say(f"spoolq: job {job.id}: no answer from worker {job.worker}; spoolq workers")
    if len(active) < len(jobs):
        raise typer.Exit(CONFLICT)
    if ended != {job.id for job in active}:
        raise typer.Exit(NO)


class _Killing:
    """Commands to the workers that perform jobs, and looking whether they were obeyed."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    def send(self, jobs: Sequence[JobInfo], signal: str) -> set[int]:
        """Send a signal to each job; the ids of those whose worker has one to obey."""
        return {
            job.id
            for job in jobs
            if job.worker is not None
            and self._backend.broadcast("kill", [signal, job.id], [job.worker])
        }

    def end(self, jobs: Sequence[JobInfo], grace: float) -> set[int]:
        """TERM, then KILL for what is there `grace` s after it has arrived; what has ended."""
        self.send(jobs, "TERM")
        left = self._wait(self._obeyed(list(jobs)), grace)
        if left:
            self.send(left, "KILL")
            left = self._wait(self._obeyed(left), _ANSWER)
        there = {job.id for job in left}
        return {job.id for job in jobs if job.id not in there and self._has_ended(job)}

    def _obeyed(self, jobs: list[JobInfo]) -> list[JobInfo]:
        """Those that are left once every worker has read its commands, or had the time to."""
        status = {worker.id: worker.status for worker in self._backend.list_workers(0, 10**6).rows}
        asked = {job.worker for job in jobs if job.worker in status}
        slowest = [status[worker].get("command_interval", 0) for worker in asked]
        until = self._clock.elapsed() + max(slowest, default=0) + _ANSWER
        while self._clock.elapsed() < until and any(
            worker is not None and self._backend.unread(worker) for worker in asked
        ):
            if not (jobs := self._active(jobs)):
                break
            self._clock.sleep(_LOOK)
        return self._active(jobs)

    def _wait(self, jobs: list[JobInfo], seconds: float) -> list[JobInfo]:
        until = self._clock.elapsed() + seconds
        while (jobs := self._active(jobs)) and self._clock.elapsed() < until:
            self._clock.sleep(_LOOK)
        return jobs

    def _active(self, jobs: Sequence[JobInfo]) -> list[JobInfo]:
        return [job for job in jobs if not self._has_ended(job)]

    def _has_ended(self, job: JobInfo) -> bool:
        """Whether this attempt is over; the job may have another one."""
        rows: list[JobInfo] = self._backend.list_jobs(0, 1, ids=[job.id]).rows
        return not rows or (rows[0].state, rows[0].retries) != ("active", job.retries)


def _oldest_first(spool: Spool, selectors: list[str] | None) -> list[JobInfo]:
    return some_jobs(spool, selectors).jobs[::-1]


def each(
    jobs: list[JobInfo],
    act: Callable[[JobInfo], bool],
    *,
    done: str,
    refused: str,
    as_json: bool,
) -> None:
    """Do it to every job; exit 4 at the end when one of them refused."""
    answers = {job.id: act(job) for job in jobs}
    if as_json:
        print_json([{"id": job_id, done: answer} for job_id, answer in answers.items()])
    for job_id, answer in answers.items():
        if not answer:
            say(f"spoolq: job {job_id} was not {done}: {refused}")
    if not all(answers.values()):
        raise typer.Exit(CONFLICT)


def _confirm(selectors: list[str] | None, jobs: Sequence[JobInfo], verb: str, *, yes: bool) -> None:
    """Ask before a filter does harm to more jobs than somebody has typed. Raises Refused."""
    if yes or STDIN in (selectors or ()):
        return
    asked = selection(selectors or ())
    if len(jobs) < 2 or not (asked.words or asked.everything):
        return
    what = f"{verb} {len(jobs)} jobs"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            USAGE, f"{what}? Say --yes; spoolq list {' '.join(selectors or ())} shows them"
        )
    print(f"{what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused(NO, "nothing was done")


def _pair(text: str) -> tuple[str, JSON]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Refused(USAGE, f"{text!r} is no note: write KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _signal(name: str) -> str:
    plain = name.upper().removeprefix("SIG")
    if plain not in KILLS:
        known = did_you_mean(plain, KILLS) or f" (known: {', '.join(KILLS)})"
        raise Refused(USAGE, f"{name!r} is no signal that can be sent{known}")
    return plain
