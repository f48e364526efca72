"""Fresh jobs: how a new one gets its place, and how claimers are told.

A fresh job is complete and synced under a private name in `tmp/` before one rename gives it its
place. Every publication but that of a fresh job that is ready now moves the queue's generation
on: `inactive/<queue>/generation.<n>.<nonce>`. Claimers keep listings, and consume them as long as
the queue's own listing is the same: ids only grow, so a fresh job comes behind what they keep.

`Fresh` by itself is for jobs without parents. It loads little, because `spoolq add` loads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from spoolq.errors import SpoolFull
from spoolq.files import names, records
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.files.places import Place, Places, delayed, held, job_name, ready
from spoolq.transitions import Record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from spoolq.control import Said

_GENERATION = "generation."
_GENERATION_NAME = re.compile(r"generation\.([0-9]+)\.[0-9a-z]+", re.ASCII)
_MIN_INODES = 1000
_CHECK_EVERY = 256  # enqueues between two looks at the free space
_OPEN = 0.5  # seconds for which a queue that was open is taken to be


class Fresh:
    """Puts new jobs that wait for nobody into the places where claimers look."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        places: Places,
        counter: Counter,
        low_water: int,
        elapsed: Callable[[], float],
    ) -> None:
        self._fs = fs
        self._elapsed = elapsed
        self._open: dict[str, float] = {}  # by queue: until when it need not be looked at
        self._layout = layout
        self._places = places
        self._counter = counter
        self.low_water = low_water
        self._until_check = 0
        self._ready: dict[tuple[str, int, int], str] = {}

    def enqueue(self, record: Record, now: float, *, hold: bool = False) -> int:
        """Publish a new job, held or not; its id. Survives power loss after return."""
        self._until_check -= 1
        if self._until_check < 0:
            self.check_space()
        body = records.encode_fresh(record)  # refuses before an id is taken
        id_ = record["id"] = self._counter.take()
        data, nonce = records.seal(body, id_), names.nonce()
        if hold or record["parents"] or record["delayed"] > now:
            place = self.held(record) if hold else self.place(record, now, fresh=False)
            self._enqueue_for_later(data, record, nonce, place, now)
        else:
            self._enqueue_ready(data, record, nonce)
        return id_

    def _enqueue_ready(self, data: bytes, record: Record, nonce: str) -> None:
        """The path of most jobs: what it does for one job, it does once for its bucket."""
        block = names.block_of(record["id"])
        key = (record["queue"], record["priority"], block)
        bucket = self._ready.get(key)
        if bucket is None:
            if len(self._ready) > 1000:
                self._ready.clear()
            place = ready(record["queue"], record["priority"])
            bucket = self._ready[key] = self._places.make(place, block)
        due, task = names.micros(record["delayed"]), names.encode(record["task"])
        name = names.fresh(record["id"], nonce, due, record["expires"], task)
        try:
            self._fs.publish(f"{self._layout.tmp}/{nonce}", f"{bucket}/{name}", data)
        except NoDirectory:
            del self._ready[key]  # RACE: emptied and removed by a claimer
            self._enqueue_ready(data, record, nonce)
        else:
            self.ring(names.encode(record["queue"]))

    def _enqueue_for_later(
        self, data: bytes, record: Record, nonce: str, place: Place, now: float
    ) -> None:
        name = str(job_name(record, place, 0, 0, nonce))
        block = names.block_of(record["id"])
        while True:
            bucket = self._places.made(place, block) or self._places.make(place, block)
            try:
                self._fs.publish(f"{self._layout.tmp}/{nonce}", f"{bucket}/{name}", data)
            except NoDirectory:
                self._places.forget(place, block)  # RACE: emptied and removed by a claimer
            else:
                break
        if place.kind != "ready":
            self.settle_in(place, record, now)

    # Set by who can: how many jobs are inactive in a queue (encoded).
    count_waiting: Callable[[str], int] | None = None

    paused: Said | None = None
    """Who has paused the queue that `admits` was last asked about, as far as it has looked."""

    def admits(self, queue: str, new: int = 1) -> bool:
        """Whether a queue takes in so many new jobs; False: this one cannot tell, ask a backend.

        Raises QueueClosed, QueueFull. A queue that is closed elsewhere is noticed within _OPEN s.
        """
        if self._elapsed() < self._open.get(queue, -1.0):
            return True
        encoded = names.encode(queue)
        if self._fs.is_directory(f"{self._layout.inactive}/{encoded}/control"):
            from spoolq.control import check_open, check_room
            from spoolq.files.queues import Queues  # for queues of which something was said

            control = Queues(self._fs, self._layout).read(encoded)
            self.paused = control.paused
            check_open(control, queue)
            if control.max_waiting is not None:
                if self.count_waiting is None:
                    return False
                check_room(control, queue, self.count_waiting(encoded), new)
                return True
        if len(self._open) > 1000:
            self._open.clear()
        self._open[queue] = self._elapsed() + _OPEN
        return True

    def forget_open(self) -> None:
        """Something was said of a queue: look again."""
        self._open.clear()

    def check_space(self) -> None:
        """Refuse new work below the low-water mark: jobs that run must still be able to end.

        Raises SpoolFull.
        """
        self._fs.check_root()
        self._until_check = _CHECK_EVERY
        free, _, inodes = self._fs.space()
        if free < self.low_water or inodes < _MIN_INODES:
            self._until_check = 0
            raise SpoolFull(
                f"{self._fs.root} is full: {free} bytes and {inodes} files are free, and below "
                f"{self.low_water} bytes or {_MIN_INODES} files no new job is taken in; make room",
                self._fs.root,
            )

    # -- places ----------------------------------------------------------------------------------

    def place(self, record: Record, now: float, *, fresh: bool = True) -> Place:
        """Where an inactive job with this record belongs now.

        Without `fresh` the caller has just moved the counter of jobs.
        """
        del fresh  # it matters to who looks at parents
        if record["delayed"] > now:
            return delayed(record["queue"], record["delayed"])
        return ready(record["queue"], record["priority"])

    def held(self, record: Record) -> Place:
        """Where a job with this record lies while it is held."""
        return held(record["queue"], record["priority"])

    def settle_in(self, place: Place, record: Record, now: float) -> None:
        """After a publication that is not of a fresh ready job: tell the claimers."""
        del record, now
        if place.kind != "held":
            self.bump(place.queue)

    def bump(self, queue: str) -> None:
        """Move a queue's generation on: what claimers keep of it is not the front any more.

        Losing the rename is as good as winning it: who won did it after this publication.
        """
        try:
            self._bump(queue)
        finally:
            self.ring(queue)

    def ring(self, queue: str) -> None:
        """Wake the workers of this host that wait for this queue (encoded): see `doorbell`."""
        self._fs.ring(f"{self._layout.wakeup}/{queue}")

    def _bump(self, queue: str) -> None:
        directory = f"{self._layout.inactive}/{queue}"
        for name in self._fs.list(directory):
            found = _GENERATION_NAME.fullmatch(name)
            if found:
                after = f"{_GENERATION}{int(found[1]) + 1}.{names.nonce()}"
                self._fs.move(f"{directory}/{name}", f"{directory}/{after}")
                return
        self._fs.mark(f"{directory}/{_GENERATION}0.{names.nonce()}")
