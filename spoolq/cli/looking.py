"""Looking: `list`, `show`, `logs` and `stats`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.cli.following import follow as follow_log
from spoolq.cli.ids import LAST, find_job
from spoolq.cli.output import (
    compact,
    escape,
    job_json,
    local,
    print_fields,
    print_json,
    print_table,
    say,
    status,
    words,
)
from spoolq.logs import last_lines, log_path, logged_attempts, read_log
from spoolq.model import JSON, STATES, JobInfo
from spoolq.spool import Spool

TAIL = 64 * 1024  # bytes of output read for its last lines


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("list")(list_jobs)
    app.command("ls", hidden=True)(list_jobs)
    app.command("show")(show)
    app.command("info", hidden=True)(show)
    app.command("logs")(logs)
    app.command("stats")(stats)


def list_jobs(
    context: typer.Context,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", "-S", metavar="STATE", help=f"{', '.join(STATES)}. Repeatable."),
    ] = None,
    queue: options.Queues = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", metavar="TASK", help="Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0)] = 100,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    show_env: Annotated[bool, typer.Option("--show-env", help="Environments in JSON too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List jobs, newest first."""
    page = opened(context).spool.backend.list_jobs(
        offset, limit, states=state or None, queues=queue or None, tasks=task or None
    )
    if as_json:
        print_json([job_json(job, show_env=show_env) for job in page.rows])
        return
    print_table(
        ("ID", "STATE", "EXIT", "QUEUE", "CREATED", "COMMAND"),
        [
            (
                str(job.id),
                job.state,
                status(job),
                escape(job.queue),
                local(job.created),
                words(job),
            )
            for job in page.rows
        ],
    )
    if sys.stdout.isatty() and len(page.rows) == limit:
        say(f"the newest {limit} from {offset} on, of {page.total}")


def show(
    context: typer.Context,
    *,
    job_id: Annotated[str, typer.Argument(metavar="ID")] = LAST,
    show_env: Annotated[bool, typer.Option("--show-env", help="Its environment too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show everything about a job, and the last lines of its output."""
    spool = opened(context)
    job = find_job(spool.spool, job_id)
    if as_json:
        print_json(job_json(job, show_env=show_env))
        return
    print_fields(_fields(job, show_env=show_env))
    attempt = _shown_attempt(spool.directory, job)
    output = None if attempt is None else read_log(spool.directory, job.id, attempt, tail=TAIL)
    if output:
        print("output:" if not attempt else f"output of try {attempt + 1}:")
        for line in last_lines(output).splitlines():
            print(f"  {escape(line)}")


def logs(
    context: typer.Context,
    *,
    job_id: Annotated[str, typer.Argument(metavar="ID")] = LAST,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Only the last N lines.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Of the first, second, … try.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print what a job has written. Off a terminal it is passed on byte by byte.

    With --follow from any host, until the job has ended; the exit code is the job's own.
    """
    root = opened(context).directory
    job = find_job(opened(context).spool, job_id)
    if follow:
        if as_json or attempt is not None:
            raise Refused(USAGE, "--follow shows the newest try, as it is written")
        raise typer.Exit(_follow(opened(context).spool, root, job, lines))
    retries = attempt - 1 if attempt is not None else _shown_attempt(root, job)
    output = None if retries is None else read_log(root, job.id, retries)
    if output is None and attempt is not None:
        raise Refused(NOT_FOUND, f"job {job.id} has no output of try {attempt}")
    output = output or b""
    if lines is not None:
        output = b"".join(output.splitlines(keepends=True)[-lines:] if lines else [])
    if as_json:
        _print_log_json(root, job.id, retries, output)
    elif sys.stdout.isatty():
        print(escape(output.decode("utf-8", "replace"), lines=True), end="")
    else:
        sys.stdout.buffer.write(output)


def _follow(spool: Spool, root: str, job: JobInfo, lines: int | None) -> int:
    def write(data: bytes) -> None:
        if sys.stdout.isatty():
            print(escape(data.decode("utf-8", "replace"), lines=True), end="", flush=True)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    retries, skip = _shown_attempt(root, job), 0
    if lines is not None and retries is not None:
        output = read_log(root, job.id, retries) or b""
        write(b"".join(output.splitlines(keepends=True)[-lines:] if lines else []))
        skip = len(output)
    return follow_log(spool, root, job.id, write, skip=skip)


def stats(context: typer.Context, as_json: options.AsJson = False) -> None:
    """Count jobs, workers and locks."""
    counted = opened(context).spool.stats()
    if as_json:
        print_json(counted)
    else:
        print_fields({name: compact(value) for name, value in counted.items()})


def _fields(job: JobInfo, *, show_env: bool) -> dict[str, str]:
    kwargs = job_json(job, show_env=show_env)["kwargs"]
    took = None if job.started is None else (job.finished or job.time) - job.started
    fields: dict[str, str | None] = {
        "id": str(job.id),
        "state": job.state,
        "exit": status(job) or None,
        "command" if job.task == "exec" else "task": words(job),
        "kwargs": compact(kwargs) if kwargs else None,
        "queue": escape(job.queue),
        "priority": str(job.priority),
        "attempts": str(job.attempts),
        "retries": str(job.retries),
        "timeout": None if job.timeout is None else f"{job.timeout:g} s",
        "parents": _ids(job.parents),
        "children": _ids(job.children),
        "created": local(job.created),
        "delayed": local(job.delayed) if job.delayed > job.created else None,
        "expires": None if job.expires is None else local(job.expires),
        "retried": None if job.retried is None else local(job.retried),
        "started": None if job.started is None else local(job.started),
        "finished": None if job.finished is None else local(job.finished),
        "took": None if took is None or job.state == "inactive" else f"{took:.3f} s",
        "worker": None if job.worker is None else str(job.worker),
        "notes": compact(job.notes) if job.notes else None,
        **_result(job.result),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _result(result: JSON) -> dict[str, str | None]:
    """An error as its type and message: its output follows below. Anything else whole."""
    if isinstance(result, dict) and {"type", "message"} <= result.keys():
        kind, message = escape(str(result["type"])), escape(str(result["message"]))
        return {"error": f"{kind}: {message}"}
    return {"result": None if result is None else compact(result)}


def _ids(ids: list[int]) -> str | None:
    return ", ".join(str(number) for number in ids) or None


def _shown_attempt(root: str, job: JobInfo) -> int | None:
    """The newest attempt that has written anything."""
    return max(logged_attempts(root, job.id), default=None)


def _print_log_json(root: str, id: int, retries: int | None, output: bytes) -> None:
    value: dict[str, JSON] = {
        "id": id,
        "attempt": None if retries is None else retries + 1,
        "path": None if retries is None else log_path(root, id, retries),
        "output": output.decode("utf-8", "replace"),
    }
    print_json(value)
