"""Many jobs: `list`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from spoolq.backend import Backend
from spoolq.cli.colours import paint
from spoolq.cli.context import Opened
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.formats import Listing, chosen, hint
from spoolq.cli.grammar import keyed
from spoolq.cli.output import compact, digits, escape, hints, iso, job_json
from spoolq.cli.output import words as as_typed
from spoolq.cli.selecting import selection
from spoolq.cli.tables import Column
from spoolq.lookup import Found, find
from spoolq.lookup import hint as meant
from spoolq.model import JSON, STATES, JobInfo
from spoolq.selection import Selection
from spoolq.why import EXEC, VIEWS, View, age

RECENT: Final = 86_400.0  # seconds for which a failed job is listed without being asked for
NEVER: Final = "\u2013"  # in place of a time
SHOWN: Final = 100  # jobs that are shown on a terminal

_COLUMNS: Final = (
    Column("ID"),
    Column("STATE", paint=paint),
    Column("QUEUE", rank=1, least=8),
    Column("LABEL", rank=2, least=8),
    Column("TASK", least=12),
    Column("PRIO", right=True, rank=5, empty=("0",)),
    Column("AGE", right=True, rank=4),
    Column("TIME", right=True, rank=3),
    Column("TRY", right=True, rank=2),
    Column("REASON", least=16),
    Column("NOTE", rank=6, least=8),
)
_NAMES: Final = (
    "ID", "STATE", "QUEUE", "TASK", "PRIO", "CREATED", "STARTED", "FINISHED", "TRY", "REASON",
    "COMMAND",
)  # fmt: skip


def list_jobs(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`spoolq list`: the exit code."""
    form = chosen(values.get("output"), as_json=bool(values.get("as_json")))
    asked = selection([*words, *keyed(values)])
    for name in ("limit", "offset"):
        if values.get(name, 0) < 0:
            raise Refused(USAGE, f"--{name} must not be negative")
    show(
        opened,
        asked,
        form,
        everything=bool(values.get("everything")),
        limit=values.get("limit"),
        offset=values.get("offset", 0),
        show_env=bool(values.get("show_env")),
        header=not values.get("no_header"),
    )
    return 0


def show(
    asked_of: Opened,
    asked: Selection,
    form: str,
    *,
    everything: bool = False,
    limit: int | None = None,
    offset: int = 0,
    show_env: bool = False,
    header: bool = True,
) -> None:
    """Print the jobs of a selection; without a state those that somebody may have to look after."""
    backend = asked_of.backend
    if limit is None and form == "table":
        limit = SHOWN
    # A program that is given some jobs only, as a person is, would take them for all there are.
    wanted, keep = _unfinished(asked, everything=everything or form != "table")
    found = find(backend, wanted, limit=limit, offset=offset, keep=keep)
    listing(found, show_env=show_env).print(form, header=header)
    if not found.jobs:
        hint(f"nothing to show{meant(backend, asked)}")
    if form == "table" and hints():
        _say_what_is_missing(asked_of, wanted, found, hidden=wanted is not asked, limit=limit)


def listing(found: Found, *, show_env: bool = False) -> Listing:
    """Jobs in every form: grouped by what they do for people, newest first for programs."""

    def values() -> list[JSON]:
        return [described(found, job, show_env=show_env) for job in found.jobs]

    return Listing(
        _COLUMNS,
        lambda: [_row(found, job) for job in _grouped(found)],
        _NAMES,
        lambda: [_cells(found, job) for job in found.jobs],
        values,
        lambda: [str(job.id) for job in found.jobs],
    )


def described(found: Found, job: JobInfo, *, show_env: bool = False) -> dict[str, JSON]:
    """A job as JSON, with its view and the first reason why it does not run."""
    first = found.reason(job)
    return {
        **job_json(job, show_env=show_env, root=getattr(found.backend, "root", None)),
        "view": found.view(job),
        "reason": {"code": first.code, "text": first.text, **first.detail},
    }


def tries(job: JobInfo) -> str:
    """`1/3`: the tries so far, the present one among them, and how many there may be."""
    done = job.retries + (job.state != "inactive")
    return f"{done}/{job.retries + max(1, job.attempts)}"


def run_time(job: JobInfo) -> float | None:
    """Seconds that the last attempt ran, or has run; None when none is to be told of."""
    if job.started is None or job.state == "inactive":
        return None
    return max(0.0, (job.time if job.state == "active" else job.finished or job.time) - job.started)


def _unfinished(
    asked: Selection, *, everything: bool
) -> tuple[Selection, Callable[[JobInfo, View], bool] | None]:
    """What is listed when no state was asked for."""
    if everything or asked.states is not None or asked.names_ids or asked.everything:
        return asked, None

    def keep(job: JobInfo, _: View) -> bool:
        return job.state != "failed" or job.time - (job.finished or job.created) <= RECENT

    states = ("inactive", "active", "failed")
    return Selection(words={**asked.words, "state": states}), keep


def count_jobs(backend: Backend, asked: Selection) -> int:
    """How many jobs a selection means: from names alone, where they can tell."""
    views = set(asked.words.get("state", ())) - set(STATES)
    if asked.names_ids or views or not asked.words.keys() <= {"state", "queue", "task"}:
        return len(find(backend, asked).jobs)
    names = {key: asked.exact(key) for key in ("queue", "task")}
    if any(names[key] is None and key in asked.words for key in names):
        return len(find(backend, asked).jobs)
    page = backend.list_jobs(0, 0, states=asked.states, queues=names["queue"], tasks=names["task"])
    return page.total


def _grouped(found: Found) -> list[JobInfo]:
    """What runs, what will in the order in which it will, what waits, what is over."""

    def key(job: JobInfo) -> tuple[int, float, int]:
        seen = found.view(job)
        first, second = {
            "ready": (float(-job.priority), job.id),
            "delayed": (job.delayed, job.id),
            "blocked": (0.0, job.id),
        }.get(seen, (0.0, -job.id))
        return VIEWS.index(seen), first, second

    return sorted(found.jobs, key=key)


def _row(found: Found, job: JobInfo) -> list[str]:
    ran = run_time(job)
    return [
        str(job.id),
        found.view(job),
        escape(job.queue),
        escape(str(job.notes.get("label", ""))),
        as_typed(job) if job.task == EXEC else escape(job.task),
        str(job.priority),
        age(job.time - job.created),
        NEVER if ran is None else age(ran),
        tries(job),
        escape(found.reason(job).text),
        "" if "progress" not in job.notes else progress(job.notes["progress"]),
    ]


def progress(note: JSON) -> str:
    """The note that `Job.progress` writes, and what else people put there."""
    if not isinstance(note, dict) or not isinstance(note.get("done"), int | float):
        return compact(note)
    done, total, message = note["done"], note.get("total"), note.get("message")
    said = f"{100 * done / total:.0f}%" if isinstance(total, int | float) and total else f"{done:g}"
    return f"{said} {escape(str(message))}" if message else said


def _cells(found: Found, job: JobInfo) -> list[str]:
    times = (job.created, job.started, job.finished)
    return [
        str(job.id),
        found.view(job),
        escape(job.queue),
        escape(job.task),
        str(job.priority),
        *("" if at is None else iso(at) for at in times),
        tries(job),
        escape(found.reason(job).text),
        as_typed(job),
    ]


def _say_what_is_missing(
    asked_of: Opened, asked: Selection, found: Found, *, hidden: bool, limit: int | None
) -> None:
    backend = asked_of.backend
    shown = len(found.jobs)
    parts = [f"{shown} of {shown} shown"]
    if limit is not None and shown == limit:
        parts = [f"{shown} of {digits(count_jobs(backend, asked))} shown (-l N)"]
    if hidden and not asked.words.keys() - {"state"}:
        failed = sum(job.state == "failed" for job in found.jobs)
        totals = {
            "finished": backend.list_jobs(0, 0, states=["finished"]).total,
            "old failed": backend.list_jobs(0, 0, states=["failed"]).total - failed,
        }
        # What a limit leaves out has been said.
        left_out = {name: n for name, n in totals.items() if n and shown != limit}
        if left_out:
            said = " and ".join(f"{digits(n)} {name}" for name, n in left_out.items())
            parts.append(f"{said} not shown (-a)")
    parts.append(f"{escape(asked_of.directory)} on {escape(os.uname().nodename)}")
    hint(" · ".join(parts))
