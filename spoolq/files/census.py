"""The census: how many jobs there are, counted by directory and remembered by directory.

What was read off a directory's names is remembered as long as the directory has not changed. "Not
changed" is its inode and mtime; because two changes may fall into one tick of the file system's
clock, what was read right after the last change is not remembered. So the census of a
million jobs costs half a second once and a few milliseconds afterwards. It informs; nothing is
decided by it but where repair need not look.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from spoolq.files import names
from spoolq.files.catalog import Catalog
from spoolq.files.fs import Filesystem, has_settled
from spoolq.files.layout import Layout
from spoolq.files.places import HOUR, Place
from spoolq.states import JSON, WAYS

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final, NamedTuple, TypeVar

    _T = TypeVar("_T")
else:
    from spoolq.tuples import NamedTuple

# A whole line each: what an editor or rsync leaves beside a job has its name inside its own.
_HEAD: Final = r"^\d+\.\d+\.\d+\.[0-9a-z]+"
_TAIL: Final = r"\.[^\n]*\.json$"
_EXPIRES: Final = re.compile(rf"{_HEAD}\.d(-?\d+)\.x(-?\d+){_TAIL}", re.MULTILINE | re.ASCII)
_DUE: Final = re.compile(rf"{_HEAD}\.d(-?\d+){_TAIL}", re.MULTILINE | re.ASCII)
# As fast as it gets: finds every time that `_DUE` finds, and perhaps one in an alien name.
_ANY_DUE: Final = re.compile(r"\.d(-?\d+)", re.ASCII)
_FINISHED: Final = re.compile(rf"{_HEAD}\.f(-?\d+){_TAIL}", re.MULTILINE | re.ASCII)
_FAMILY: Final = re.compile(r"^(\d+)\..*\.p([0-9a-f]{10})\.", re.MULTILINE | re.ASCII)
_MANY: Final = 128  # directories that are listed one after the other
_THREADS: Final = 4


class Counted(NamedTuple):
    """What every count of inactive jobs needs. Times are µs."""

    jobs: int
    expiries: tuple[tuple[int, int], ...]  # (due, expiry) of those that expire


class Census:
    """Counts of one spool."""

    def __init__(
        self, fs: Filesystem, layout: Layout, catalog: Catalog, disk_time: Callable[[], float]
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self._disk_time = disk_time
        self._known: dict[tuple[str, object], tuple[tuple[int, int], Any]] = {}

    def ask(self, directory: str, question: Callable[[str], _T]) -> _T:
        """What `question` makes of a directory's names, one a line, now or as remembered."""
        changed = self._fs.changed(directory)
        known = self._known.get((directory, question))
        if known and known[0] == changed:
            return known[1]  # type: ignore[no-any-return]  # stored below for this question
        if changed == (0, 0):
            self._known.pop((directory, question), None)
            return question("")
        answer = question("\n".join([*self._fs.list(directory), ""]))
        if has_settled(changed[1], self._disk_time()):
            self._known[directory, question] = (changed, answer)
        return answer

    def ask_all(self, directories: Sequence[str], question: Callable[[str], _T]) -> list[_T]:
        """`ask` for each of these directories.

        Many that were never looked at are listed by a few threads: the kernel, or an NFS server,
        does most of that, and does it for several at once.
        """
        new = [path for path in directories if (path, question) not in self._known]
        if len(new) < _MANY:
            return [self.ask(path, question) for path in directories]
        from concurrent.futures import ThreadPoolExecutor  # 10 ms, for large spools only

        parts = [new[start : start + _MANY] for start in range(0, len(new), _MANY)]
        with ThreadPoolExecutor(_THREADS) as pool:
            listed = pool.map(lambda part: [self.ask(path, question) for path in part], parts)
            answers = dict(zip(new, chain.from_iterable(listed), strict=True))
        return [answers[p] if p in answers else self.ask(p, question) for p in directories]

    def shards(self, state: str) -> Iterator[str]:
        """The directory of every shard of the finished or the failed jobs."""
        base = f"{self._layout.root}/{state}"
        for name in self._fs.list(base):
            if name.isascii() and name.isdigit():
                yield f"{base}/{name}"

    def inactive(self) -> Iterator[tuple[Place, str]]:
        """(place, directory) of every bucket of the inactive jobs."""
        for place in self._catalog.inactive_places():
            for _, directory in self._catalog.buckets(place):
                yield place, directory

    def count(self, state: str) -> int:
        """How many finished or failed jobs there are."""
        return sum(counted.jobs for counted in self.ask_all([*self.shards(state)], count))

    def count_inactive(self, now: float, queues: set[str] | None = None) -> tuple[int, int]:
        """(inactive jobs, those of them that wait for a time, a parent or a release), without
        expired ones."""
        found = self.count_queues(now, queues).values()
        ready = sum(views["ready"] for views in found)
        later = sum(views["delayed"] + views["blocked"] + views["held"] for views in found)
        return ready + later, later

    def count_queues(self, now: float, queues: set[str] | None = None) -> dict[str, dict[str, int]]:
        """By the encoded name of a queue: how many jobs are ready, delayed, blocked, held, without
        expired ones."""
        limit = names.micros(now)
        found: dict[str, dict[str, int]] = {}
        buckets = [(p, path) for p, path in self.inactive() if queues is None or p.queue in queues]
        counts = self.ask_all([directory for _, directory in buckets], count)
        for (place, directory), counted in zip(buckets, counts, strict=True):
            lapsed = [due for due, at in counted.expiries if at <= limit]
            live, later = counted.jobs - len(lapsed), 0
            if place.kind == "delayed":
                later = sum(due > limit for due in self.ask(directory, dues))
                later -= sum(due > limit for due in lapsed)
            views = found.setdefault(place.queue, dict.fromkeys(WAYS, 0))
            if place.kind == "waiting":
                views["blocked"] += live
            elif place.kind == "held":
                views["held"] += live
            else:
                views["delayed"] += later
                views["ready"] += live - later
        return found

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
        shards = [*self.shards(state)]
        for directory, hours in zip(shards, self.ask_all(shards, hours_of_end), strict=True):
            total.update(hours)
            if first in hours:
                # Part of the oldest hour is more than 23 hours ago, and no history any more.
                ended = ends("\n".join(self._fs.list(directory)))
                total[first] -= sum(1 for at in ended if first == _hour(at) and at <= limit)
        return total


# -- questions to the names of a directory -------------------------------------------------------


def count(text: str) -> Counted:
    """How many jobs, and when those expire that do."""
    found = _EXPIRES.findall(text) if ".x" in text else ()
    expiries = tuple((int(due), int(expiry)) for due, expiry in found)
    return Counted(text.count(".json\n"), expiries)


def dues(text: str) -> tuple[int, ...]:
    """When the inactive jobs are or were due, in µs."""
    return tuple(map(int, _DUE.findall(text)))


def oldest_due(text: str) -> int | None:
    """When the job was due that is overdue the longest, in µs, or before that."""
    return min(map(int, set(_ANY_DUE.findall(text))), default=None)


def limits(text: str) -> tuple[Counted, int | None]:
    """`count` and `oldest_due`, for who needs both: one listing."""
    return count(text), oldest_due(text)


def ends(text: str) -> list[int]:
    """When the jobs ended, in µs."""
    return list(map(int, _FINISHED.findall(text)))


def oldest_end(text: str) -> int | None:
    """When the job ended that ended first, in µs."""
    return min(ends(text), default=None)


def hours_of_end(text: str) -> dict[int, int]:
    """How many jobs ended in which clock hour."""
    return dict(Tally(map(_hour, ends(text))))


def families(text: str) -> dict[str, list[int]]:
    """The ids of the jobs that carry each digest of parents."""
    found: dict[str, list[int]] = {}
    for id_, digest in _FAMILY.findall(text):
        found.setdefault(digest, []).append(int(id_))
    for ids in found.values():
        ids.sort()
    return found


def _hour(at: int) -> int:
    return at // (HOUR * 1_000_000)
