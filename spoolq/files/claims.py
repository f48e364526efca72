"""Claims: who may run a job. A claim is one rename into the worker's own directory.

A claimer lists the best bucket once, keeps the listing and consumes it. What it keeps is the
front of the queue as long as the listing of `inactive/<queue>/` is the same: a new priority, and
every publication but that of a fresh ready job, changes a name in there. A lane (one priority of
one queue) that was found dry is looked at again each time; one that stays dry is removed, so that
its return shows in the queue's listing.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from spoolq.control import Control
from spoolq.files import names
from spoolq.files.catalog import Found, is_number
from spoolq.files.families import parse_alarm
from spoolq.files.fs import Denied, Filesystem, Glance
from spoolq.files.layout import Layout
from spoolq.files.places import HOUR, Place, list_buckets
from spoolq.files.queues import CONTROL, Queues
from spoolq.files.slots import Slots
from spoolq.files.tokens import Token

_SPREAD: Final = 64  # how far a claimer that lost a race goes back, and for how many claims
_AGAIN: Final = 2  # races lost in a row after which the bucket is listed anew
_DRY: Final = 64  # looks at a dry lane before it is removed
_BACKSTOP: Final = 1.0  # seconds after which a lane with jobs for others is looked through again


class Candidate(NamedTuple):
    """The best job of one lane: where it is, and what decides between lanes."""

    priority: int
    id: int
    name: str
    directory: str
    lane: Lane
    at: int  # among what the lane keeps


class Lane:
    """One priority of one queue, as this claimer keeps it, for one set of tasks."""

    def __init__(
        self, fs: Filesystem, directory: str, priority: int, tasks: frozenset[str] | None
    ) -> None:
        self.priority = priority
        self.directory = directory
        self._fs = fs
        self._tasks = tasks
        self._blocks: list[int] = []  # not looked at yet, highest first: the next one is popped
        self._paths: dict[int, list[str]] = {}
        self._kept: list[tuple[int, str, str]] = []  # (id, name, directory), last is first
        self._skip = 0  # how many to leave to others
        self._apart = 0  # for how many claims more
        self._lost = 0  # races in a row
        self._stuck: set[str] = set()  # names that are there and cannot be claimed
        self._passed = -1  # blocks up to here hold nothing for these tasks
        self._looked = 0.0
        self.dry = 0

    def best(self, now: float, elapsed: float) -> Candidate | None:
        """The first job of the lane that has not expired; None when the lane is dry."""
        limit = names.micros(now)
        while True:
            while self._kept:
                index = self._pick()
                id_, name, directory = self._kept[index]
                if ".x" in name and _expires(name) <= limit:
                    del self._kept[index]
                    continue
                return Candidate(self.priority, id_, name, directory, self, index)
            if not self._fill(limit, elapsed):
                self.dry += 1
                return None

    def _pick(self) -> int:
        """The first one; for a while after a lost race one further back, and on from there:
        claimers with the same listing would meet again at every name."""
        return -1 - min(self._skip, len(self._kept) - 1)

    def won(self, candidate: Candidate) -> None:
        """This candidate was claimed."""
        del self._kept[candidate.at]
        self.dry = self._lost = 0
        if self._skip:
            self._apart -= 1
            if not self._apart:
                self._skip = 0

    def lost(self, candidate: Candidate) -> None:
        """Somebody else claimed it; when that happens again what is kept is old."""
        del self._kept[candidate.at]
        directory = candidate.directory
        if self._fs.is_there(f"{directory}/{candidate.name}"):
            # Not lost: foreign, or the system does not let it be moved. No name comes twice, so
            # this one is passed over until the lane is built anew.
            self._stuck.add(candidate.name)
            return
        self._lost += 1
        # A worker that is alone lost it to a person, not to a claimer, and keeps the exact order.
        if self._skip or len(self._fs.list(f"{self._fs.root}/active")) > 1:
            self._skip, self._apart = random.randrange(1, _SPREAD), _SPREAD
        if self._lost >= _AGAIN:  # a look costs as much as ten lost races
            self._lost = 0
            there = set(self._fs.list(directory))
            self._kept = [kept for kept in self._kept if kept[2] != directory or kept[1] in there]

    def _fill(self, limit: int, elapsed: float) -> bool:
        """List the next bucket that holds something for these tasks. False: there is none."""
        if not self._blocks:
            self._list(elapsed)
        while self._blocks:
            block = self._blocks.pop()
            found: list[tuple[int, str, str]] = []
            for path in self._paths[block]:
                listed = self._fs.list(path)
                found += [
                    (names.job_id(name), name, path)
                    for name in listed
                    if self._wanted(name) and not (".x" in name and _expires(name) <= limit)
                ]
                if not listed:
                    self._remove(path)
            if found:
                found.sort(reverse=True)
                self._kept = found
                return True
            self._passed = max(self._passed, block - 1)
        return False

    def _list(self, elapsed: float) -> None:
        """Look at the lane anew, all of it now and then, else only where fresh jobs arrive."""
        buckets = list_buckets(self._fs, self.directory)
        self._paths = buckets.paths
        blocks = buckets.blocks
        if elapsed - self._looked < _BACKSTOP:
            blocks = [block for block in blocks if block > self._passed]
        else:
            self._looked, self._passed = elapsed, -1
        self._blocks = blocks[::-1]

    def _remove(self, path: str) -> None:
        """Remove an empty bucket, unless fresh jobs may be on their way into it."""
        if self._blocks or self.dry >= _DRY:
            self._fs.rmdir(path)
            above = path.rpartition("/")[0]
            if above != self.directory:
                self._fs.rmdir(above)  # the batch that it was part of
        if self.dry >= _DRY:
            self._fs.rmdir(self.directory)

    def _wanted(self, name: str) -> bool:
        return (
            name.endswith(".json")
            and (self._tasks is None or names.task_of(name) in self._tasks)
            and name not in self._stuck
        )


def _expires(name: str) -> int:
    parsed = names.parse(name)
    return parsed.expires if parsed and parsed.expires is not None else 1 << 62


class Due(NamedTuple):
    """Something in a queue's delayed jobs that becomes due: a job, or an alarm for a parent."""

    at: int
    directory: str
    name: str


class View:
    """What a claimer keeps of one queue, for one set of tasks."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        queues: Queues,
        slots: Slots,
        queue: str,
        tasks: frozenset[str] | None,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._queues = queues
        self._slots = slots
        self.queue = queue
        self._tasks = tasks
        self._directory = f"{layout.inactive}/{queue}"
        self._glance = Glance(fs, self._directory)
        self._listing: set[str] = set()
        self._lanes: list[Lane] = []
        self._due: list[Due] = []  # the nearest last
        self._next_hour = 0
        self._control: Control | None = None  # of a queue of which something was said
        self._control_at = 0.0

    def refresh(self, now: float, elapsed: float) -> list[Due]:
        """Compare with the queue as it is; what is due and has to be put among the ready jobs."""
        fresh = self._glance.fresh()
        listing = self._listing if fresh is None else set(fresh)
        if listing != self._listing or now >= self._next_hour * HOUR:
            self._rebuild(listing, now)
            self._hear(elapsed)
        elif self._control is not None and elapsed >= self._control_at:
            self._hear(elapsed)  # CRASH: whoever changed it may have died before he told
        due, limit = [], names.micros(now)
        while self._due and self._due[-1].at <= limit:
            due.append(self._due.pop())
        return due

    def _hear(self, elapsed: float) -> None:
        """Read what is said of the queue, if anything ever was."""
        before, self._control = self._control, None
        if CONTROL in self._listing:
            self._control_at = elapsed + _BACKSTOP
            self._control = control = self._queues.read(self.queue)
            if control.limit is not None and (before is None or before.limit is None):
                self._slots.adopt(self.queue)  # what this process runs among it

    def _rebuild(self, listing: set[str], now: float) -> None:
        # RACE: listed before the lanes are; whatever is published after this changes it again.
        self._listing = listing
        priorities = sorted((int(name) for name in listing if is_number(name)), reverse=True)
        self._lanes = [
            Lane(self._fs, f"{self._directory}/{priority}", priority, self._tasks)
            for priority in priorities
        ]
        self._next_hour = int(now // HOUR) + 1
        self._due = []
        if "delayed" in listing:
            self._due = sorted(self._delayed(now), reverse=True)

    def _delayed(self, now: float) -> list[Due]:
        found: list[Due] = []
        base = f"{self._directory}/delayed"
        hours = self._fs.list(base)
        for hour in hours:
            if not is_number(hour) or int(hour) >= self._next_hour:
                continue
            buckets = list_buckets(self._fs, f"{base}/{hour}")
            empty = True
            for path in (path for paths in buckets.paths.values() for path in paths):
                listed = self._fs.list(path)
                found += [due for name in listed if (due := _due(path, name))]
                if not listed and int(hour) < int(now // HOUR):
                    self._fs.rmdir(path)
                    continue
                empty = False
            if empty and int(hour) < int(now // HOUR):
                self._fs.rmdir(f"{base}/{hour}")
        if not hours:
            self._fs.rmdir(base)
        return found

    def next_due(self) -> float:
        """When the next delayed job is due, or its hour begins."""
        hour = float(self._next_hour * HOUR)
        return min(hour, self._due[-1].at / 1_000_000) if self._due else hour

    def best(self, now: float, elapsed: float, least: int | None) -> Candidate | None:
        """The best candidate of the queue: its highest lane that is not dry."""
        if self._control is not None and not self.admits():
            return None
        for lane in self._lanes:
            if least is not None and lane.priority < least:
                return None
            found = lane.best(now, elapsed)
            if found:
                return found
        return None

    def admits(self) -> bool:
        """Whether jobs may be claimed from the queue, as far as can be seen before a claim."""
        control = self._control
        if control is None:
            return True
        if control.paused is not None:
            return False
        return control.limit is None or self._slots.has_room(self.queue, control.limit)


def _due(directory: str, name: str) -> Due | None:
    alarm = parse_alarm(name)
    if alarm:
        return Due(alarm[0], directory, name)
    parsed = names.parse(name)
    return Due(parsed.due, directory, name) if parsed and parsed.due is not None else None


class Claimer:
    """Finds the best job that may run now, and claims it."""

    def __init__(self, fs: Filesystem, layout: Layout, queues: Queues, slots: Slots) -> None:
        self._fs = fs
        self._layout = layout
        self._queues = queues
        self._slots = slots
        self._views: dict[tuple[frozenset[str], frozenset[str] | None], list[View]] = {}

    def views(self, queues: frozenset[str], tasks: frozenset[str] | None) -> list[View]:
        """What is kept of these queues (encoded), for these tasks (encoded)."""
        views = self._views.get((queues, tasks))
        if views is None:
            if len(self._views) > 64:
                self._views.clear()
            parts = (self._fs, self._layout, self._queues, self._slots)
            views = [View(*parts, queue, tasks) for queue in sorted(queues)]
            self._views[queues, tasks] = views
        return views

    def best(
        self, views: list[View], now: float, elapsed: float, least: int | None
    ) -> Candidate | None:
        """Highest priority first, then lowest id, across all the queues [38, 43]."""
        if len(views) == 1:
            return views[0].best(now, elapsed, least)
        found = [c for view in views if (c := view.best(now, elapsed, least))]
        return min(found, key=lambda c: (-c.priority, c.id)) if found else None

    def next_due(self, queues: frozenset[str]) -> float | None:
        """When, by the spool's time, something delayed in these queues is due next.

        As far as the last refresh has seen: until the end of the hour at most.
        """
        kept = [views for (known, _), views in self._views.items() if known <= queues]
        return min((view.next_due() for views in kept for view in views), default=None)

    def claim(self, directory: str, name: str, worker: str, now: float) -> Found | None:
        """Move a job into the worker's directory; None when somebody else was quicker.

        Raises NoDirectory when the worker was declared dead and its directory removed. Not
        synced: after power loss the job is inactive again and the lost start is not counted.
        """
        named = names.claimed(name, names.nonce(), names.micros(now))
        if named is None:
            return None
        mine, renamed = named
        target = f"{self._layout.active}/{worker}"
        found = Found(Token(target, renamed, Place("active", "", worker)), mine)
        try:
            return found if self._fs.move(f"{directory}/{name}", found.token.path) else None
        except Denied:
            return None  # immutable: the others can be claimed
