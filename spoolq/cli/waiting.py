"""`wait`: until jobs have ended, and with their exit code.

The spool is asked again and again: from another host nothing tells of an end. What is asked about
is fixed at the start, so a selector that matches more jobs later does not wait for those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import BY_SIGNAL, FAILED_ITSELF, NO, TIMED_OUT
from spoolq.cli.following import exit_code_of
from spoolq.cli.formats import hint
from spoolq.cli.output import compact, digits, escape, hints, print_json, say, words
from spoolq.cli.selecting import selection, some_or_last
from spoolq.cli.tables import cut
from spoolq.clock import Clock, SystemClock
from spoolq.executables import EXEC
from spoolq.logs import logged_attempts, read_log
from spoolq.lookup import around
from spoolq.model import JSON, JobInfo
from spoolq.selection import LAST
from spoolq.why import age, brief_error

LOOK: Final = (0.02, 0.5)  # seconds between two looks: the first, the longest
_AT_ONCE: Final = 5000  # jobs that are asked about at once
_ENDED: Final = frozenset({"finished", "failed"})
_NAME: Final = 40  # columns of a command line in what is said of it
_BAR: Final = 30  # columns of the progress bar


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(wait)


@dataclass
class Waiting:
    """Jobs that somebody waits for, and what became of them."""

    ids: list[int]
    ended: dict[int, JobInfo] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    now: dict[int, JobInfo] = field(default_factory=dict)
    """Those that have not ended, as they were seen last."""

    @property
    def left(self) -> list[int]:
        """The ids of those that have not ended."""
        return [id_ for id_ in self.ids if id_ not in self.ended and id_ not in self.gone]

    @property
    def failed(self) -> list[int]:
        """The ids of those that failed; one that was removed is none that went well."""
        bad = {id_ for id_, job in self.ended.items() if job.state == "failed"} | self.gone
        return sorted(bad)

    def look(self, backend: Backend) -> bool:
        """Ask about those that are left; whether any of them has ended."""
        left, before = self.left, len(self.left)
        for start in range(0, len(left), _AT_ONCE):
            part = left[start : start + _AT_ONCE]
            rows: list[JobInfo] = backend.list_jobs(0, len(part), ids=part).rows
            self._take(part, rows)
        return len(self.left) < before

    def _take(self, asked: Iterable[int], rows: list[JobInfo]) -> None:
        seen = {job.id: job for job in rows}
        for id_ in asked:
            job = seen.get(id_)
            if job is None:
                self.gone.add(id_)
                self.now.pop(id_, None)
            elif job.state in _ENDED:
                self.ended[id_] = job
                self.now.pop(id_, None)
            else:
                self.now[id_] = job

    def is_over(self, *, any_one: bool, fail_fast: bool) -> bool:
        """Whether there is nothing more to wait for."""
        if not self.left or (fail_fast and self.failed):
            return True
        return any_one and len(self.left) < len(self.ids)

    def code(self) -> int:
        """The exit code: a single job's own, else 0 or 1."""
        if len(self.ids) == 1 and self.ended:
            return exit_code_of(self.ended[self.ids[0]])
        if len(self.ids) == 1:
            return FAILED_ITSELF  # 1 to 6 would be taken for the job's own
        return NO if self.failed else 0


def wait_for(
    backend: Backend,
    waiting: Waiting,
    *,
    any_one: bool = False,
    fail_fast: bool = False,
    timeout: float | None = None,
    clock: Clock | None = None,
    seen: Callable[[Waiting], None] = lambda _: None,
) -> bool:
    """Look until it is over; False when `timeout` seconds were not enough.

    `seen` is called after each look.
    """
    clock = clock or SystemClock()
    began, pause = clock.elapsed(), LOOK[0]
    while True:
        begun = clock.elapsed()
        moved = waiting.look(backend)
        seen(waiting)
        if waiting.is_over(any_one=any_one, fail_fast=fail_fast):
            return True
        now = clock.elapsed()
        left = None if timeout is None else began + timeout - now
        if left is not None and left <= 0:
            return False
        # No more than a tenth of the time is spent looking, however many there are.
        pause = max(LOOK[0] if moved else min(pause * 1.3, LOOK[1]), 9 * (now - begun))
        clock.sleep(pause if left is None else min(pause, left))


def wait(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    any_one: Annotated[bool, typer.Option("--any", help="Until the first has ended.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Until the first has failed.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", "--wait-timeout", metavar="DURATION", help="No longer; then exit 124."
        ),
    ] = None,
    tail: Annotated[
        int, typer.Option("--tail", metavar="N", min=0, help="And the last N lines of what failed.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the exit code.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Wait until jobs have ended; the newest one by default.

    For one job the exit code is its own, for several 0, or 1 when one of them failed. 124 says
    that the time was up, 125 that the job was removed, 3 that there is no such job.
    """
    most = None if timeout is None else parse_duration(timeout)
    spool = opened(context).spool
    found = some_or_last(spool, selectors)
    waiting = Waiting(sorted(job.id for job in found.jobs))
    clock = SystemClock()
    began = clock.elapsed()
    show = _Progress(spool.backend, clock) if hints() and not quiet and not as_json else None
    try:
        in_time = wait_for(
            spool.backend,
            waiting,
            any_one=any_one,
            fail_fast=fail_fast,
            timeout=most,
            clock=clock,
            seen=show.seen if show else lambda _: None,
        )
    except KeyboardInterrupt:
        if show:
            show.end()
        hint(stopped([waiting.now[id_] for id_ in waiting.left if id_ in waiting.now]))
        raise typer.Exit(BY_SIGNAL + 2) from None
    if show:
        show.end()
    if as_json:
        values = _values(waiting)
        print_json(values[0] if selection(selectors or [LAST]).is_one else values)
    elif not quiet:
        _print_outcome(waiting, clock.elapsed() - began)
        _print_tails(opened(context).directory, waiting, tail)
    if not in_time:
        if not quiet:
            say(f"spoolq: {_shortly(waiting.left)} not done after {age(most or 0)}")
        raise typer.Exit(TIMED_OUT)
    if len(waiting.ids) == 1 and waiting.gone:
        say(f"spoolq: job {waiting.ids[0]} was removed, or has expired, before it ended")
    raise typer.Exit(waiting.code())


def stopped(jobs: Sequence[JobInfo]) -> str:
    """The words for who does not want to watch jobs any more, which go on."""
    ids = " ".join(str(job.id) for job in jobs[:10])
    go, them = ("go", "them") if len(jobs) > 1 else ("goes", "it")
    if all(job.state == "active" for job in jobs):
        return f"stopped watching; {ids} {go} on — spoolq kill {ids} to stop {them}"
    return f"stopped watching; {ids} {go} on — spoolq kill, or remove what waits, to stop {them}"


def print_log_lines(id: int, lines: Sequence[bytes]) -> None:
    """Print lines of a job's output, its id before each."""
    for line in lines:
        text = line.decode("utf-8", "replace").removesuffix("\n")
        print(f"{id} | {escape(text) if sys.stdout.isatty() else text}")


def called(job: JobInfo) -> str:
    """What people know a job by, in a line about it: its task, or the first of its command line."""
    return cut(words(job), _NAME) if job.task == EXEC else escape(job.task)


def told(job: JobInfo) -> str:
    """How a job ended, for people: `finished in 4s, result: "photo-800.jpg"`."""
    took = age((job.finished or job.time) - (job.started or job.finished or job.time))
    if job.state == "failed":
        return f"failed in {took}: {escape(brief_error(job))}"
    said = "" if job.result is None else f", result: {compact(job.result)}"
    return f"{job.state} in {took}{said}"


class _Progress:
    """What somebody at a terminal sees on stderr while waiting."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._began = clock.elapsed()
        self._said: str | None = None
        self._drawn = False
        self._before: int | None = None

    def seen(self, waiting: Waiting) -> None:
        """Show the state of things, if it is worth a word."""
        if len(waiting.ids) == 1:
            self._say_why(waiting)
        else:
            self._draw(waiting)

    def _say_why(self, waiting: Waiting) -> None:
        """Once for each reason: why the only job has not started, and when it has."""
        for job in waiting.now.values():
            found = around(self._backend, job)
            first = found.reason(job)
            if first.code == self._said:
                return
            self._said = first.code
            more = "" if first.code == "running" else f" (spoolq why {job.id})"
            say(f"{job.id} {called(job)} is {found.view(job)}: {escape(first.text)}{more}")

    def _draw(self, waiting: Waiting) -> None:
        everything, done = len(waiting.ids), len(waiting.ids) - len(waiting.left)
        before = done if self._before is None else self._before
        self._before = before
        rate = (done - before) / max(self._clock.elapsed() - self._began, 0.001)
        active = sum(job.state == "active" for job in waiting.now.values())
        line = progress_line(done, everything, len(waiting.failed), active, rate)
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        self._drawn = True

    def end(self) -> None:
        """Take the bar away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def progress_line(done: int, everything: int, failed: int, active: int, rate: float) -> str:
    """`━━━━╸━━━  81 904/100 000  ✗ 12  16 active  214/s  ~1m24s`."""
    filled = _BAR * done // max(1, everything)
    bar = "━" * filled + ("╸" + "─" * (_BAR - filled - 1) if filled < _BAR else "")
    parts = [bar, f"{digits(done)}/{digits(everything)}"]
    if failed:
        parts.append(f"✗ {failed}")
    if active:
        parts.append(f"{active} active")
    if rate > 0:
        parts += [f"{rate:.0f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"]
        parts.append(f"~{age((everything - done) / rate)}")
    return "  ".join(parts)


def _print_outcome(waiting: Waiting, took: float) -> None:
    if len(waiting.ids) == 1:
        for job in waiting.ended.values():
            hint(told(job))
        return
    failed = waiting.failed
    finished = len(waiting.ended) + len(waiting.gone) - len(failed)
    parts = [f"{len(waiting.ids)} jobs", f"{finished} finished"]
    if failed:
        parts.append(f"{len(failed)} failed")
    if waiting.left:
        parts.append(f"{len(waiting.left)} not done")
    print("  ".join([*parts, age(took)]))
    if failed:
        print(f"failed: {_shortly(failed)}")


def _print_tails(root: str, waiting: Waiting, lines: int) -> None:
    for id_ in waiting.failed if lines else ():
        retries = max(logged_attempts(root, id_), default=None)
        output = b"" if retries is None else read_log(root, id_, retries) or b""
        print_log_lines(id_, output.splitlines(keepends=True)[-lines:])


def _values(waiting: Waiting) -> list[JSON]:
    def value(id: int) -> JSON:
        job = waiting.ended.get(id)
        if job is not None:
            return {"id": id, "state": job.state, "code": exit_code_of(job)}
        there = waiting.now.get(id)
        return {"id": id, "state": "removed" if there is None else there.state, "code": None}

    return [value(id_) for id_ in waiting.ids]


def _shortly(ids: Sequence[int]) -> str:
    shown = " ".join(map(str, ids[:3]))
    return shown if len(ids) <= 3 else f"{shown} and {len(ids) - 3} more"
