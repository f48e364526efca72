"""`edit`: change jobs that are not running, by options or in an editor."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Annotated, Any, Final

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.durations import parse_duration, parse_time
from spoolq.cli.exits import CONFLICT, NO, USAGE, Refused
from spoolq.cli.given import parse_json, parse_notes
from spoolq.cli.output import escape, print_json, say
from spoolq.cli.selecting import some_jobs
from spoolq.cli.steering import each
from spoolq.environments import resolved
from spoolq.errors import InvalidType, InvalidValue
from spoolq.executables import EXEC
from spoolq.model import JSON, JobInfo
from spoolq.spool import Spool

NONE: Final = "none"
EDITORS: Final = ("SPOOLQ_EDITOR", "VISUAL", "EDITOR")
# What an editor is shown; times are for the options, which say how long from now.
FIELDS: Final = (
    "args", "kwargs", "queue", "priority", "attempts", "timeout", "lax", "parents", "notes",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(edit)


def edit(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    queue: options.NewQueue = None,
    priority: options.Priority = None,
    attempts: options.Attempts = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", "-t", metavar="DURATION|none", help="Of a try.")
    ] = None,
    delay: options.Delay = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Not before.")] = None,
    expire: Annotated[
        str | None,
        typer.Option("--expire", "-E", metavar="DURATION|none", help="Not started after that."),
    ] = None,
    args: Annotated[str | None, typer.Option("--args", metavar="JSON", help="A list.")] = None,
    kwargs: Annotated[
        str | None, typer.Option("--kwargs", metavar="JSON", help="An object.")
    ] = None,
    notes: Annotated[
        list[str] | None, typer.Option("--notes", "-n", metavar="KEY=JSON", help="Merged.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", "-L", metavar="TEXT|none", help="To tell it by.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Change jobs that are not running; nothing counts as a retry.

    Without options one job in $EDITOR, on a terminal. Exit 4 for a job that is active.
    """
    spool = opened(context).spool
    jobs = some_jobs(spool, selectors).jobs[::-1]
    given: dict[str, Any] = {"queue": queue, "priority": priority, "attempts": attempts}
    given = {name: value for name, value in given.items() if value is not None}
    given |= _times(spool, timeout=timeout, delay=delay, at=at, expire=expire)
    if args is not None:
        given["args"] = parse_json(args, "--args", list, "list")
    if kwargs is not None:
        given["kwargs"] = parse_json(kwargs, "--kwargs", dict, "object")
    if notes or label is not None:
        given["notes"] = parse_notes(notes or [])
    if label is not None:
        given["notes"]["label"] = None if label == NONE else label
    if not given:
        given = _in_an_editor(jobs, opened(context).directory, as_json=as_json)
    each(
        jobs,
        lambda job: spool.backend.edit_job(job.id, job.retries, **given),
        done="edited",
        refused="it is active, or was changed by somebody else just now",
        as_json=as_json,
    )


def _times(
    spool: Spool, *, timeout: str | None, delay: str | None, at: str | None, expire: str | None
) -> dict[str, float | None]:
    if delay is not None and at is not None:
        raise Refused(USAGE, "--delay or --at, not both")
    found: dict[str, float | None] = {}
    for name, text in (("timeout", timeout), ("expire", expire)):
        if text is not None:
            found[name] = None if text.lower() == NONE else parse_duration(text)
    if delay is not None:
        found["delay"] = parse_duration(delay)
    if at is not None:
        now = spool.backend.now()
        found["delay"] = parse_time(at, now) - now
    return found


# -- in an editor --------------------------------------------------------------------------------


def _in_an_editor(jobs: list[JobInfo], root: str, *, as_json: bool) -> dict[str, Any]:
    """What somebody has changed of a job. Raises Refused, and typer.Exit when it is nothing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(USAGE, "edit what? --priority, --queue, --args …; spoolq edit --help")
    if len(jobs) > 1:
        raise Refused(USAGE, f"an editor takes one job, these are {len(jobs)}: give options")
    [job] = jobs
    if job.state == "active":
        raise Refused(CONFLICT, f"job {job.id} was not edited: it is active")
    before = {name: getattr(job, name) for name in FIELDS}
    if job.task == EXEC:
        before["kwargs"] = resolved(root, job.kwargs)
    path = _write(job, before)
    try:
        _edit_file(path)
        changed = _read(path, before)
        # Looked at before the file goes: nobody has to type it twice.
        _check(job, changed)
    except Refused as refused:
        raise Refused(refused.code, f"{refused}; what you wrote is in {path}") from None
    with suppress(OSError):
        os.unlink(path)
    if not changed:
        if as_json:
            print_json([{"id": job.id, "edited": False}])
        else:
            say(f"spoolq: job {job.id} is as it was")
        raise typer.Exit(0)
    return changed


def _write(job: JobInfo, fields: dict[str, JSON]) -> str:
    """A private file with what may be changed: it may hold an environment with secrets."""
    fd, path = tempfile.mkstemp(prefix=f"spoolq-{job.id}-", suffix=".json")
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(fields, file, indent=2, ensure_ascii=False)
        file.write("\n")
    return path


def _edit_file(path: str) -> None:
    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    try:
        words = [*shlex.split(editor), path]
        code = subprocess.run(words, check=False).returncode  # noqa: S603  # the user's own
    except (OSError, ValueError) as error:
        raise Refused(USAGE, f"cannot start the editor {escape(editor)}: {error}") from None
    if code:
        raise Refused(NO, f"the editor {escape(editor)} ended with {code}: nothing was changed")


def _read(path: str, before: dict[str, JSON]) -> dict[str, Any]:
    """What is different from what it was. Raises Refused."""
    try:
        with open(path, encoding="utf-8") as file:
            after = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(USAGE, f"it is not JSON: {error}") from None
    if not isinstance(after, dict):
        raise Refused(USAGE, "it is no JSON object")
    unknown = sorted(after.keys() - before.keys())
    if unknown:
        raise Refused(USAGE, f"there is no {unknown[0]!r} to edit, only {', '.join(before)}")
    changed = {name: value for name, value in after.items() if value != before[name]}
    if isinstance(changed.get("notes"), dict) and isinstance(before["notes"], dict):
        gone = dict.fromkeys(before["notes"].keys() - changed["notes"].keys())
        changed["notes"] = {**changed["notes"], **gone}
    return changed


def _check(job: JobInfo, changed: dict[str, Any]) -> None:
    from spoolq.transitions import edited

    try:
        edited({"notes": job.notes}, 0.0, changed)
    except (InvalidType, InvalidValue) as error:
        raise Refused(USAGE, str(error)) from None
