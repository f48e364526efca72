"""Slots: which jobs of a queue with a limit run now, a chain in `inactive/<queue>/slots/`.

A claim of such a queue is good when its job has been put into the chain: a compare-and-swap, so
that of two claimers on two hosts only one takes the last slot. What is there twice over is told by
`active/`: a slot whose job is not active any more is nobody's, however its attempt has ended and
whoever has died, and is dropped by the first who finds no room. Nothing is synced: after power loss
nothing runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.catalog import Catalog, Found
from spoolq.files.chain import Chain
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.transitions import Record

SLOTS: Final = "slots"
_AGAIN: Final = 1.0  # seconds between two looks for slots of jobs that have ended

Jobs = tuple[int, ...]


class Slots:
    """The slots of one spool's queues. Queues are named as in paths: encoded."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        catalog: Catalog,
        read: Callable[[Found], Record | None],
        elapsed: Callable[[], float],
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self._read = read
        self._elapsed = elapsed
        self._chain: Chain[Jobs] = Chain(
            fs, layout, _encode, _decode, nothing=(), unreadable=(), durable=False
        )
        self._look_at: dict[str, float] = {}

    def has_room(self, queue: str, limit: int) -> bool:
        """Whether a slot is free, as far as can be seen before a claim."""
        directory = self._directory(queue)
        if len(self._chain.newest(directory).value) < limit:
            return True
        now = self._elapsed()
        if now < self._look_at.get(queue, 0.0):
            return False
        self._look_at[queue] = now + _AGAIN
        self.drop_ended(queue)
        return len(self._chain.newest(directory).value) < limit

    def take(self, queue: str, limit: int, job: int) -> bool:
        """Take a slot for a job that was claimed just now; False when none is free."""

        def taken(jobs: Jobs) -> Jobs | None:
            if job in jobs:
                return jobs  # RACE: swapped all the same, so that nobody drops it as an old one
            return (*jobs, job) if len(jobs) < limit else None

        return self._chain.swap(self._directory(queue), queue, taken)

    def free(self, queue: str, job: int) -> bool:
        """Give the slot of a job back whose attempt is over; False when it has none."""

        def freed(jobs: Jobs) -> Jobs | None:
            return tuple(id_ for id_ in jobs if id_ != job) if job in jobs else None

        return self._chain.swap(self._directory(queue), queue, freed)

    def drop_ended(self, queue: str) -> bool:
        """Free the slots of jobs that are not active any more; whether there were any."""

        def kept(jobs: Jobs) -> Jobs | None:
            # RACE: looked at anew for each swap: a job that is claimed again is in a newer state.
            active = tuple(id_ for id_ in jobs if self._is_active(queue, id_))
            return active if active != jobs else None

        return self._chain.swap(self._directory(queue), queue, kept)

    def adopt(self, queue: str) -> None:
        """Count what runs without a slot, because it was claimed before there was a limit."""
        running = self._active(queue)

        def counted(jobs: Jobs) -> Jobs | None:
            more = tuple(id_ for id_ in running if id_ not in jobs)
            return (*jobs, *more) if more else None

        if self._chain.swap(self._directory(queue), queue, counted):
            self.drop_ended(queue)  # RACE: some may have ended between the look and the swap

    def tidy(self, queue: str) -> None:
        """Both, for repair."""
        self.adopt(queue)
        self.drop_ended(queue)

    def _active(self, queue: str) -> Jobs:
        found = ((item.name.id, self._read(item)) for item in self._catalog.active())
        return tuple(id_ for id_, record in found if record and _is_of(record, queue))

    def _is_active(self, queue: str, job: int) -> bool:
        while True:
            found = self._catalog.find(job)
            if found is None or found.state != "active":
                return False
            record = self._read(found)
            if record is not None:
                return _is_of(record, queue)
            again = self._catalog.find(job)
            if again is None or again.token == found.token:
                return False  # it cannot be read: nobody performs it
            # RACE: annotated between look-up and reading

    def _directory(self, queue: str) -> str:
        return f"{self._layout.inactive}/{queue}/{SLOTS}"


def _is_of(record: Record, queue: str) -> bool:
    return names.encode(record["queue"]) == queue


def _encode(queue: str, jobs: Jobs) -> bytes:
    return records.encode_json({"queue": queue, "jobs": list(jobs)}, "slots") + b"\n"


def _decode(data: bytes) -> Jobs:
    value: Any = records.parse(data)
    try:
        jobs = value["jobs"]
    except (KeyError, TypeError):
        jobs = None
    if not isinstance(jobs, list) or not all(type(id_) is int for id_ in jobs):
        raise JobCorrupt("these are no slots")
    return tuple(jobs)
