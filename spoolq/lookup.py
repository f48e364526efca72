"""What a selection finds in a spool, and what is known around the jobs that it finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

from spoolq.backend import Backend
from spoolq.errors import UnknownJob
from spoolq.executables import executable_tasks
from spoolq.model import JobInfo, WorkerInfo
from spoolq.selection import Selection, did_you_mean
from spoolq.why import AHEAD, Reason, Scene, View, reason, reasons, view

_PAGE: Final = 1000  # jobs read at once
_EVERY: Final = 2**31 - 1
_KNOWN: Final = 200  # jobs whose queues and tasks count as known when one was not found


@dataclass(frozen=True)
class Found:
    """Jobs, newest first, each with what stands around it."""

    backend: Backend
    jobs: list[JobInfo]
    parents: dict[int, JobInfo]

    def view(self, job: JobInfo) -> View:
        """The state of one of these jobs, as people see it."""
        return view(job, self.parents, self._is_kept)

    @cached_property
    def _is_kept(self) -> Callable[[JobInfo], bool]:
        return _gatekeeper(self.backend)

    def reason(self, job: JobInfo) -> Reason:
        """Why one of these jobs is not running."""
        return reason(job, self.scene)

    def reasons(self, job: JobInfo) -> list[Reason]:
        """Every reason why one of these jobs is not running."""
        return reasons(job, self.scene)

    @cached_property
    def scene(self) -> Scene:
        """What the reasons are decided from: read when the first one is asked for."""
        backend = self.backend
        waiting = any(job.state == "inactive" for job in self.jobs)
        return Scene(
            parents=self.parents,
            workers=workers(backend),
            active=backend.list_jobs(0, _EVERY, states=["active"]).rows if waiting else (),
            ready=cache(self._ready),
            executables=_executables(backend),
            missing_after=backend.missing_after,
            writable=_is_writable(backend),
            gate=backend.blocked_at,
            controls=backend.controls() if waiting else {},
        )

    def _ready(self, queue: str) -> list[tuple[int, int]]:
        """What may run in a queue, in the order in which it will, as far as it was looked at."""
        mine = {job.id: job for job in self.jobs if job.queue == queue}
        ready = [job for job in mine.values() if self.view(job) == "ready"]
        # Most often the listing has all of them; else as many again are read as are counted.
        if len(ready) < self.backend.queues().get(queue, {}).get("ready", 0):
            rows: list[JobInfo] = self.backend.list_jobs(
                0, AHEAD, states=["inactive"], queues=[queue]
            ).rows
            others = [job for job in rows if job.id not in mine]
            parents = _parents(self.backend, others, {})
            ready += [job for job in others if view(job, parents, self._is_kept) == "ready"]
        return sorted((-job.priority, job.id) for job in ready)


def find(
    backend: Backend,
    selection: Selection,
    *,
    limit: int | None = None,
    offset: int = 0,
    keep: Callable[[JobInfo, View], bool] | None = None,
) -> Found:
    """The jobs that a selection means, newest first. `keep` judges each of them once more.

    Raises UnknownJob when an id that was named is not there, or none that a range or `last`
    names: then nothing is found at all.
    """
    found: list[JobInfo] = []
    parents: dict[int, JobInfo] = {}
    is_kept = _gatekeeper(backend)
    for page in _pages(backend, selection, small=limit):
        parents |= _parents(backend, page, parents)
        for job in page:
            seen = view(job, parents, is_kept)
            if selection.matches(job, seen) and (keep is None or keep(job, seen)):
                found.append(job)
        if limit is not None and len(found) >= offset + limit:
            break
    end = None if limit is None else offset + limit
    return Found(backend, found[offset:end], parents)


def around(backend: Backend, job: JobInfo) -> Found:
    """One job that was read already."""
    return Found(backend, [job], _parents(backend, [job], {}))


def those_of(backend: Backend, ids: Iterable[int]) -> Found:
    """Those of these jobs that are there."""
    rows = _rows(backend, set(ids))
    return Found(backend, rows, _parents(backend, rows, {}))


def workers(backend: Backend) -> list[WorkerInfo]:
    """Every registered worker, newest first."""
    rows: list[WorkerInfo] = backend.list_workers(0, _EVERY).rows
    return rows


def hint(backend: Backend, selection: Selection) -> str:
    """For a selection that found nothing: which queue or task may have been meant."""
    asked = {key: selection.exact(key) or [] for key in ("queue", "task")}
    if not any(asked.values()):
        return ""
    newest: list[JobInfo] = backend.list_jobs(0, _KNOWN).rows
    queues = {job.queue for job in newest}
    for worker in workers(backend):
        queues.update(name for name in worker.status.get("queues", ()) if isinstance(name, str))
    known = {"queue": queues, "task": {job.task for job in newest} | _executables(backend)}
    return "".join(
        f"; there is no {key} {name!r}{did_you_mean(name, known[key])}"
        for key, names in asked.items()
        for name in names
        if name not in known[key]
    )


def _pages(backend: Backend, selection: Selection, *, small: int | None) -> Iterable[list[JobInfo]]:
    """The jobs that may match, newest first."""
    if selection.names_ids:
        yield _by_id(backend, selection)
        return
    size = _PAGE if small is None else max(1, min(small, _PAGE))
    before: int | None = None
    while True:
        rows: list[JobInfo] = backend.list_jobs(
            0,
            size,
            before=before,
            states=selection.states,
            queues=selection.exact("queue"),
            tasks=selection.exact("task"),
            notes=selection.note_keys(),
        ).rows
        yield rows
        if len(rows) < size:
            return
        before, size = rows[-1].id, _PAGE


def _by_id(backend: Backend, selection: Selection) -> list[JobInfo]:
    named = set(selection.ids)
    if selection.last:
        newest: list[JobInfo] = backend.list_jobs(0, max(selection.last) + 1).rows
        if len(newest) <= max(selection.last):
            raise UnknownJob("there is no job yet" if not newest else "there are not so many jobs")
        named |= {newest[back].id for back in selection.last}
    rows = {job.id: job for job in _rows(backend, named)}
    missing = sorted(selection.ids - rows.keys())
    for ids in selection.ranges:
        there = _in_range(backend, ids)
        if not there:
            missing.append(ids[0])
        rows |= {job.id: job for job in there}
    if missing:
        raise UnknownJob(f"no such job: {', '.join(map(str, missing[:10]))}")
    return [rows[id_] for id_ in sorted(rows, reverse=True)]


def _rows(backend: Backend, ids: set[int]) -> list[JobInfo]:
    rows: list[JobInfo] = backend.list_jobs(0, len(ids), ids=ids).rows if ids else []
    return rows


def _in_range(backend: Backend, ids: range) -> list[JobInfo]:
    found: list[JobInfo] = []
    before = ids[-1] + 1
    while True:
        rows: list[JobInfo] = backend.list_jobs(0, _PAGE, before=before).rows
        found += [job for job in rows if job.id >= ids[0]]
        if len(rows) < _PAGE or rows[-1].id <= ids[0]:
            return found
        before = rows[-1].id


def _parents(
    backend: Backend, jobs: Sequence[JobInfo], known: dict[int, JobInfo]
) -> dict[int, JobInfo]:
    wanted = {id_ for job in jobs if job.state == "inactive" for id_ in job.parents}
    here = {job.id: job for job in jobs if job.id in wanted}
    return here | {job.id: job for job in _rows(backend, wanted - known.keys() - here.keys())}


def _gatekeeper(backend: Backend) -> Callable[[JobInfo], bool]:
    """Who tells whether a job is kept by its limits or its key, and asks for each limit once."""
    shut: dict[str, bool] = {}

    def is_kept(job: JobInfo) -> bool:
        if job.unique:
            return backend.blocked_at(job.id) is not None
        key = repr(job.limits)
        if key not in shut:
            shut[key] = backend.blocked_at(job.id) is not None
        return shut[key]

    return is_kept


def _executables(backend: Backend) -> frozenset[str]:
    root = getattr(backend, "root", None)
    if root is None:
        return frozenset()
    return frozenset(executable_tasks(root))


def _is_writable(backend: Backend) -> bool:
    root = getattr(backend, "root", None)
    if root is None:
        return True
    return os.access(f"{root}/inactive", os.W_OK | os.X_OK)
