"""`events`: what happens in a spool, one JSON object a line. And `progress`, which makes it.

Followed by looking again and again, on any host: at the names of what has not ended, and at the
records of what has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.context import Opened, opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import BY_SIGNAL, NOT_FOUND, USAGE, Refused
from spoolq.cli.output import iso, print_json
from spoolq.clock import Clock, SystemClock
from spoolq.files.viewer import Viewer
from spoolq.happenings import Happening, happenings
from spoolq.model import JSON, JobInfo

SINCE: Final = "1h"
LOOK: Final = 0.25  # seconds between two looks; more where a look takes long
_PAGE: Final = 1000
_UNFINISHED: Final = ("inactive", "active")
_ID: Final = "SPOOLQ_JOB_ID"


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(events)
    app.command()(progress)


def events(
    context: typer.Context,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on for ever.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DURATION", help=f"So far back. [{SINCE}; with -f: 0]"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Print what has happened to jobs, the oldest first, one JSON object a line.

    With --json all of it is one array. What became of jobs that are removed is not known any
    more; with -f their removal is told.
    """
    if follow and as_json:
        raise Refused(USAGE, "--json is one array, and -f has no end: leave out --json")
    back = parse_duration(since or ("0" if follow else SINCE))
    backend = opened(context).backend
    start = backend.now() - back
    if as_json:
        print_json([described(one) for one in past(backend, start)])
        return
    stream = Stream(opened(context), start)
    try:
        _tell(stream.take())
        while follow:
            stream.pause()
            _tell(stream.take())
    except KeyboardInterrupt:
        raise typer.Exit(BY_SIGNAL + 2) from None


def described(one: Happening) -> dict[str, JSON]:
    """A happening as it is printed."""
    value = asdict(one)
    detail = value.pop("detail")
    return {**value, "time_at": iso(one.time), **detail}


def past(backend: Backend, since: float) -> list[Happening]:
    """What has happened to the jobs that are there since then, the oldest first."""
    found = [one for job in _all(backend) for one in happenings(job) if one.time >= since]
    return sorted(found, key=lambda one: (one.time, one.id))


class Stream:
    """What happens, from a moment on: each thing once."""

    def __init__(self, asked: Opened, since: float, clock: Clock | None = None) -> None:
        """`since` is epoch seconds by the spool's clock."""
        self._backend = asked.backend
        self._viewer: Viewer = asked.viewer
        self._clock = clock or SystemClock()
        self._since = since
        self._told: dict[int, float] = {}  # until when a job's life has been told
        self._tracked: dict[int, tuple[str, int, int]] | None = None
        self._jobs: dict[int, JobInfo] = {}  # as they were last seen, until they have ended
        self._highest = 0
        self._took = 0.0

    def take(self) -> list[Happening]:
        """What has happened since the last call, the oldest first."""
        begin = self._clock.elapsed()
        before, now = self._tracked, self._viewer.unfinished()
        new = self._backend.list_jobs(0, 1).rows
        highest = max([self._highest, *(job.id for job in new)])
        if before is None:
            found = self._past()
        else:
            changed = {id_ for id_ in before.keys() | now.keys() if before.get(id_) != now.get(id_)}
            changed |= {*range(self._highest + 1, highest + 1)}
            found = self._news(changed)
        self._tracked, self._highest = now, highest
        self._took = self._clock.elapsed() - begin
        return found

    def pause(self) -> None:
        """Wait until it is worth another look."""
        self._clock.sleep(max(LOOK, 5 * self._took))

    def _past(self) -> list[Happening]:
        """What has happened before the first look; of a stream that begins now it is nothing."""
        found: list[Happening] = []
        states = _UNFINISHED if self._since >= self._backend.now() - LOOK else None
        for job in _all(self._backend, states):
            since = [one for one in happenings(job) if one.time >= self._since]
            found += since
            if since:
                self._told[job.id] = since[-1].time
            self._remember([job])
        return sorted(found, key=lambda one: (one.time, one.id))

    def _news(self, changed: set[int]) -> list[Happening]:
        jobs = {job.id: job for job in _some(self._backend, changed)}
        found = []
        for id_ in changed:
            job = jobs.get(id_)
            if job is not None:
                since = self._told.get(id_, self._since)
                news = [one for one in happenings(job) if one.time > since]
                found += news
                if news:
                    self._told[id_] = news[-1].time
            elif (gone := self._jobs.get(id_)) is not None:
                now = self._backend.now()
                found.append(Happening(now, "removed", id_, gone.task, gone.queue, {}))
        self._remember(list(jobs.values()))
        for id_ in changed - jobs.keys():
            self._jobs.pop(id_, None)
        return sorted(found, key=lambda one: (one.time, one.id))

    def _remember(self, jobs: list[JobInfo]) -> None:
        for job in jobs:
            if job.state in _UNFINISHED:
                self._jobs[job.id] = job
            else:
                self._jobs.pop(job.id, None)


def progress(
    context: typer.Context,
    *,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[ID] DONE [TOTAL] [MESSAGE]", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say how far a job has come: 61 of 100, or 61%, and what it does.

    Inside a job it is about that job ($SPOOLQ_JOB_ID), and no ID is given.
    """
    given = list(words or ())
    inside = os.environ.get(_ID)
    if inside is None and not given:
        raise Refused(USAGE, "progress of what? spoolq progress ID DONE [TOTAL] [MESSAGE]")
    word = inside if inside is not None else given.pop(0)
    if not (word.isascii() and word.isdecimal()) or len(word) > 18:
        raise Refused(USAGE, f"{word!r} is no id")
    note = parse_progress(given)
    backend = opened(context).backend
    if not backend.note(int(word), {"progress": note}):
        raise Refused(NOT_FOUND, f"no such job: {word}")
    if as_json:
        print_json({"id": int(word), "progress": note})


def parse_progress(words: list[str]) -> dict[str, JSON]:
    """`DONE [TOTAL] [MESSAGE]` as the note `progress`. Raises Refused."""
    if not words:
        raise Refused(USAGE, "how far? spoolq progress DONE [TOTAL] [MESSAGE]")
    first, *rest = words
    done = _number(first.removesuffix("%"))
    if done is None or done < 0:
        raise Refused(USAGE, f"{first!r} is no number of what is done: write 61, or 61%")
    total = 100 if first.endswith("%") else None
    if rest and total is None and (given := _number(rest[0])) is not None:
        if given < 0:
            raise Refused(USAGE, f"{rest[0]!r} is less than nothing")
        total, rest = given, rest[1:]
    return {"done": done, "total": total, "message": " ".join(rest) or None}


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if abs(value) < 1e15:  # no nan, no infinity
            return value
    return None


def _tell(found: list[Happening]) -> None:
    if found:
        print("\n".join(json.dumps(described(one)) for one in found), flush=True)


def _all(backend: Backend, states: Sequence[str] | None = None) -> Iterator[JobInfo]:
    before: int | None = None
    while True:
        rows: list[JobInfo] = backend.list_jobs(0, _PAGE, before=before, states=states).rows
        yield from rows
        if len(rows) < _PAGE:
            return
        before = rows[-1].id


def _some(backend: Backend, ids: Any) -> list[JobInfo]:
    wanted = sorted(ids)
    rows: list[JobInfo] = backend.list_jobs(0, len(wanted), ids=wanted).rows if wanted else []
    return rows
