"""What a job has said: `logs` and `result`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import BY_SIGNAL, NO, NOT_FOUND, USAGE, Refused
from spoolq.cli.following import follow as follow_log
from spoolq.cli.formats import hint
from spoolq.cli.listing import tries
from spoolq.cli.output import compact, escape, print_json
from spoolq.cli.selecting import one_job, some_or_last
from spoolq.cli.waiting import called, print_log_lines, stopped, told
from spoolq.clock import SystemClock
from spoolq.logs import log_path, logged_attempts, read_log
from spoolq.lookup import around
from spoolq.model import JSON, JobInfo
from spoolq.selection import LAST
from spoolq.spool import Spool
from spoolq.why import age


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("logs")(logs)
    app.command("result")(result)


def logs(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Only the last N lines.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Of the first, second, … try.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="With --follow: when each line came.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Print where its log is.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print what jobs have written. Of one job, off a terminal, it is passed on byte by byte.

    With --follow from any host, until the job has ended; the exit code is the job's own.
    """
    root = opened(context).directory
    jobs = some_or_last(opened(context).spool, selectors).jobs
    if len(jobs) > 1:
        if follow or path or timestamps or attempt is not None:
            raise Refused(USAGE, f"that takes one job, these are {len(jobs)}")
        _print_several(root, jobs[::-1], lines, as_json=as_json)
        return
    [job] = jobs
    if follow:
        if as_json or attempt is not None:
            raise Refused(USAGE, "--follow shows the newest try, as it is written")
        raise typer.Exit(_follow(opened(context).spool, root, job, lines, stamped=timestamps))
    if timestamps:
        raise Refused(USAGE, "a log says nothing of time: --timestamps goes with --follow")
    retries = attempt - 1 if attempt is not None else _shown_attempt(root, job)
    if path:
        print(log_path(root, job.id, job.retries if retries is None else retries))
        return
    output = None if retries is None else read_log(root, job.id, retries)
    if output is None and attempt is not None:
        raise Refused(NOT_FOUND, f"job {job.id} has no output of try {attempt}")
    output = output or b""
    if lines is not None:
        output = b"".join(output.splitlines(keepends=True)[-lines:] if lines else [])
    if as_json:
        print_json(_log_value(root, job.id, retries, output))
    elif sys.stdout.isatty():
        print(escape(output.decode("utf-8", "replace"), lines=True), end="")
    else:
        sys.stdout.buffer.write(output)


def _print_several(root: str, jobs: Sequence[JobInfo], lines: int | None, *, as_json: bool) -> None:
    """What each of them has written, with its id before every line."""
    values = []
    for job in jobs:
        retries = _shown_attempt(root, job)
        output = b"" if retries is None else read_log(root, job.id, retries) or b""
        shown = output.splitlines(keepends=True)
        if lines is not None:
            shown = shown[-lines:] if lines else []
        if as_json:
            values.append(_log_value(root, job.id, retries, b"".join(shown)))
        else:
            print_log_lines(job.id, shown)
    if as_json:
        print_json(values)


def result(
    context: typer.Context, *, selector: options.Selector = LAST, as_json: options.AsJson = False
) -> None:
    """Print what a finished job has returned, as JSON; exit 1 when there is no result yet.

    Of a failed job the error is printed on stderr.
    """
    del as_json  # it is JSON in any case
    job = one_job(opened(context).spool, selector)
    if job.state != "finished":
        state = around(opened(context).spool.backend, job).view(job)
        said = f": {escape(compact(job.result))}" if job.state == "failed" else ""
        raise Refused(NO, f"job {job.id} has no result: it is {state}{said}")
    print_json(job.result)


class _Stamps:
    """Puts the time of day before every line."""

    def __init__(self) -> None:
        self._at_start = True

    def put(self, data: bytes) -> bytes:
        """The same output, each line that begins in it with the time it came."""
        now = datetime.fromtimestamp(SystemClock().wall()).astimezone()
        stamp = now.strftime("%H:%M:%S  ").encode()
        lines = data.splitlines(keepends=True)
        before = [stamp if self._at_start else b"", *([stamp] * (len(lines) - 1))]
        self._at_start = data.endswith(b"\n")
        return b"".join(start + line for start, line in zip(before, lines, strict=True))


def _follow(spool: Spool, root: str, job: JobInfo, lines: int | None, *, stamped: bool) -> int:
    stamps = _Stamps() if stamped else None

    def write(data: bytes) -> None:
        if stamps is not None and data:
            data = stamps.put(data)
        if sys.stdout.isatty():
            print(escape(data.decode("utf-8", "replace"), lines=True), end="", flush=True)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    found = around(spool.backend, job)
    if job.state == "active":
        ran = age(job.time - (job.started or job.time))
        attempt = f"attempt {tries(job).replace('/', ' of ')}"
        where = f"{attempt} {escape(found.reason(job).text)}"
        hint(f"{job.id} {called(job)}, {where}, started {ran} ago")
    elif job.state == "inactive":
        view, why = found.view(job), escape(found.reason(job).text)
        hint(f"{job.id} {called(job)} is {view}: {why} (spoolq why {job.id})")
    retries, skip = _shown_attempt(root, job), 0
    if lines is not None and retries is not None:
        output = read_log(root, job.id, retries) or b""
        write(b"".join(output.splitlines(keepends=True)[-lines:] if lines else []))
        skip = len(output)
    try:
        code = follow_log(spool, root, job.id, write, skip=skip)
    except KeyboardInterrupt:
        hint(stopped(spool.backend.list_jobs(0, 1, ids=[job.id]).rows or [job]))
        return BY_SIGNAL + 2
    rows: list[JobInfo] = spool.backend.list_jobs(0, 1, ids=[job.id]).rows
    for ended in rows:
        hint(told(ended))
    return code


def _shown_attempt(root: str, job: JobInfo) -> int | None:
    """The newest attempt that has written anything."""
    return max(logged_attempts(root, job.id), default=None)


def _log_value(root: str, id: int, retries: int | None, output: bytes) -> dict[str, JSON]:
    return {
        "id": id,
        "attempt": None if retries is None else retries + 1,
        "path": None if retries is None else log_path(root, id, retries),
        "output": output.decode("utf-8", "replace"),
    }
