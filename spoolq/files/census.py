"""The census: how many jobs there are, counted by directory and remembered by directory.

A directory that has not changed since it was counted is not listed again. "Not changed" is its
inode and mtime; because two changes may fall into one tick of the file system's clock, a count
taken within `_YOUNG` of the last change is not kept. So the census of a million jobs costs half a
second once and a few milliseconds afterwards. It informs; nothing is decided by it but where
repair need not look.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from spoolq.files import names
from spoolq.files.catalog import Catalog
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.places import HOUR, Place
from spoolq.model import JSON

_YOUNG: Final = 0.05  # seconds; ten ticks of a slow kernel
_YOUNG_COARSE: Final = 2.1  # where times are whole seconds
_EXPIRES: Final = re.compile(r"\.d(-?\d+)\.x(-?\d+)\.")
_DUE: Final = re.compile(r"\.d(-?\d+)\.")
_FINISHED: Final = re.compile(r"\.f(-?\d+)\.")


class Summary(NamedTuple):
    """What the names in one directory say. Times are µs."""

    jobs: int
    oldest_due: int | None
    dues: tuple[int, ...]  # of delayed jobs
    expiries: tuple[tuple[int, int], ...]  # (due, expiry) of those that expire
    oldest_finished: int | None
    hours: dict[int, int]  # clock hour of the finished time -> jobs


_NOTHING: Final = Summary(0, None, (), (), None, {})


class Census:
    """Counts of one spool."""

    def __init__(
        self, fs: Filesystem, layout: Layout, catalog: Catalog, disk_time: Callable[[], float]
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self._disk_time = disk_time
        self._known: dict[str, tuple[tuple[int, int], Summary]] = {}

    def summary(self, directory: str) -> Summary:
        """What is in a bucket, counted now or remembered."""
        changed = self._fs.changed(directory)
        known = self._known.get(directory)
        if known and known[0] == changed:
            return known[1]
        if changed == (0, 0):
            self._known.pop(directory, None)
            return _NOTHING
        summary = _summarise(self._fs.list(directory))
        if self._settled(changed[1]):
            self._known[directory] = (changed, summary)
        return summary

    def _settled(self, mtime: int) -> bool:
        young = _YOUNG if mtime % 1_000_000_000 else _YOUNG_COARSE
        return self._disk_time() - mtime / 1e9 > young

    def shards(self, state: str) -> Iterator[tuple[int, str, Summary]]:
        """(block, directory, summary) of every shard of the finished or the failed jobs."""
        base = f"{self._layout.root}/{state}"
        for name in self._fs.list(base):
            if name.isascii() and name.isdigit():
                yield int(name), f"{base}/{name}", self.summary(f"{base}/{name}")

    def inactive(self) -> Iterator[tuple[Place, str, Summary]]:
        """(place, directory, summary) of every bucket of the inactive jobs."""
        for place in self._catalog.inactive_places():
            for _, directory in self._catalog.buckets(place):
                yield place, directory, self.summary(directory)

    def count(self, state: str) -> int:
        """How many finished or failed jobs there are."""
        return sum(summary.jobs for _, _, summary in self.shards(state))

    def count_inactive(self, now: float, queues: set[str] | None = None) -> tuple[int, int]:
        """(inactive jobs, those of them that wait for a time or a parent), without expired ones."""
        limit, inactive, later = names.micros(now), 0, 0
        for place, _, summary in self.inactive():
            if queues is not None and place.queue not in queues:
                continue
            lapsed = [due for due, at in summary.expiries if at <= limit]
            live = summary.jobs - len(lapsed)
            inactive += live
            if place.kind == "waiting":
                later += live
            elif place.kind == "delayed":
                later += sum(due > limit for due in summary.dues)
                later -= sum(due > limit for due in lapsed)
        return inactive, later

    def history(self, now: float) -> list[dict[str, JSON]]:
        """Finished and failed jobs by the hour of their end, 24 hours, oldest first [238-241]."""
        finished, failed = (self._hours(state, now) for state in ("finished", "failed"))
        this = int(now // HOUR)
        return [
            {
                "epoch": now - (this - hour) * HOUR,
                "finished_jobs": finished[hour],
                "failed_jobs": failed[hour],
            }
            for hour in range(this - 23, this + 1)
        ]

    def _hours(self, state: str, now: float) -> Tally[int]:
        total: Tally[int] = Tally()
        first, limit = int(now // HOUR) - 23, names.micros(now - 23 * HOUR)
        for _, directory, summary in self.shards(state):
            total.update(summary.hours)
            if first in summary.hours:
                # Part of the oldest hour is more than 23 hours ago, and no history any more.
                text = "\n".join(self._fs.list(directory))
                ended = [int(at) for at in _FINISHED.findall(text)]
                total[first] -= sum(1 for at in ended if first == _hour(at) and at <= limit)
        return total


def _hour(at: int) -> int:
    return at // (HOUR * 1_000_000)


def _pair(found: tuple[str, str]) -> tuple[int, int]:
    return int(found[0]), int(found[1])


def _summarise(listed: list[str]) -> Summary:
    jobs = [name for name in listed if name.endswith(".json")]
    text = "\n".join(jobs)
    expiries = tuple(_pair(found) for found in _EXPIRES.findall(text)) if ".x" in text else ()
    dues = tuple(map(int, _DUE.findall(text))) if ".d" in text else ()
    ended = list(map(int, _FINISHED.findall(text))) if ".f" in text else []
    return Summary(
        len(jobs),
        min(dues, default=None),
        dues,
        expiries,
        min(ended, default=None),
        dict(Tally(map(_hour, ended))),
    )
