"""Publication: new jobs, and where a job that becomes inactive goes.

A fresh job is complete and synced under a private name in `tmp/` before one rename gives it its
place. Every publication but that of a fresh job that is ready now moves the queue's generation
on: `inactive/<queue>/generation.<n>.<nonce>`. Claimers keep listings, and consume them as long as
the queue's own listing is the same: ids only grow, so a fresh job comes behind what they keep.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from spoolq.errors import SpoolFull
from spoolq.files import names, records
from spoolq.files.counters import Counter
from spoolq.files.families import Families, alarm_name, alarm_place
from spoolq.files.fs import Denied, Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.files.places import Place, Places, delayed, job_name, ready, waiting
from spoolq.files.tokens import Token, Tokens
from spoolq.transitions import Record

_GENERATION = "generation."
_GENERATION_NAME = re.compile(r"generation\.([0-9]+)\.[0-9a-z]+", re.ASCII)
_MIN_INODES = 1000
_CHECK_EVERY = 256  # enqueues between two looks at the free space


class Publisher:
    """Puts jobs into the places where claimers look."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        places: Places,
        tokens: Tokens,
        families: Families,
        counter: Counter,
        low_water: int,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._places = places
        self._tokens = tokens
        self._families = families
        self._counter = counter
        self.low_water = low_water
        self._until_check = 0
        self._ready: dict[tuple[str, int, int], str] = {}

    # -- new jobs --------------------------------------------------------------------------------

    def enqueue(self, record: Record, now: float) -> int:
        """Publish a new job; its id. Survives power loss after return."""
        self._until_check -= 1
        if self._until_check < 0:
            self.check_space()
        body = records.encode_fresh(record)  # refuses before an id is taken
        id_ = record["id"] = self._counter.take()
        data, nonce = records.seal(body, id_), names.nonce()
        if record["parents"] or record["delayed"] > now:
            self._enqueue_for_later(data, record, nonce, now)
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

    def _enqueue_for_later(self, data: bytes, record: Record, nonce: str, now: float) -> None:
        place = self.place(record, now, fresh=False)
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
            self.settle_in(Token(bucket, name, place), record, now)

    def enqueue_many(self, batch: Sequence[Record], now: float) -> list[int]:
        """Publish jobs that share queue, priority, delay and parents: one rename shows them all."""
        if not batch:
            return []
        self.check_space()
        bodies = [records.encode_body(record) for record in batch]
        first = self._counter.take(len(batch))
        ids = list(range(first, first + len(batch)))
        for id_, record in zip(ids, batch, strict=True):
            record["id"] = id_
        place = self.place(batch[0], now)
        if batch[0]["parents"]:
            for id_ in {names.block_of(id_): id_ for id_ in ids}.values():
                self._families.mark({**batch[0], "id": id_})
        nonce = names.nonce()
        staged = f"{self._layout.tmp}/batch.{nonce}"
        self._stage(staged, batch, bodies, place, nonce)
        place = place._replace(batch=f"b{first}-{ids[-1]}-{nonce}")
        self._publish_batch(staged, place, ids)
        if place.kind == "ready":
            self.ring(place.queue)
        else:
            last = Token(place.bucket(self._layout, names.block_of(first)), "", place)
            self.settle_in(last, batch[0], now)
        return ids

    def _stage(
        self, staged: str, batch: Sequence[Record], bodies: list[bytes], place: Place, nonce: str
    ) -> None:
        """Write a batch under a private directory, as it will be published, and sync it once."""
        fs = self._fs
        fs.mkdir(staged)
        written, bucket, block = [], "", -1
        for record, body in zip(batch, bodies, strict=True):
            id_ = record["id"]
            if names.block_of(id_) != block:
                block = names.block_of(id_)
                bucket = f"{staged}/{block}"
                fs.mkdir(bucket)
            path = f"{bucket}/{job_name(record, place, 0, 0, nonce)}"
            fs.create(path, records.seal(body, id_), sync=False)
            written.append(path)
        fs.sync_files(written)
        for name in fs.list(staged):
            fs.sync_directory(f"{staged}/{name}")

    def _publish_batch(self, staged: str, place: Place, ids: list[int]) -> None:
        fs, layout = self._fs, self._layout
        for block in range(names.block_of(ids[0]), names.block_of(ids[-1]) + 1):
            fs.mark(f"{layout.places}/{block}/{place.code}")
        target = place.directory(layout)
        above = place._replace(batch="").directory(layout)
        while True:
            fs.mkdir(above)
            try:
                fs.publish_directory(staged, target)
            except NoDirectory:
                continue  # RACE: a claimer removed the empty directory above
            break
        fs.sync_directory(above)

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
        """Where an inactive job with this record belongs now; its parents are told of it.

        Without `fresh` the caller has just moved the counter of jobs.
        """
        if record["parents"]:
            self._families.mark(record)
            blocking = self._families.blocking(record, now, fresh=fresh)
            if blocking:
                return waiting(record["queue"], blocking.name.id)
        if record["delayed"] > now:
            return delayed(record["queue"], record["delayed"])
        return ready(record["queue"], record["priority"])

    def settle_in(self, token: Token, record: Record, now: float) -> None:
        """After a publication that is not of a fresh ready job: tell the claimers, and let a
        child look at its parent once more (the other half of store-then-list)."""
        place = token.place
        if place.kind == "waiting":
            parent = int(place.key)
            blocking = self._families.blocking(record, now)
            if blocking is None or blocking.name.id != parent:
                self.move_on(parent, now)
            elif blocking.name.expires is not None:
                self._set_alarm(place.queue, parent, blocking.name.expires)
        else:
            self.bump(place.queue)
        if record["expires"] is not None and self._families.has_children(record["id"]):
            self._warn_children(record)

    def _warn_children(self, record: Record) -> None:
        """Set an alarm for those who wait for this job: when they came, it may have been running,
        or had another expiry, or none."""
        waiting = self._families.waiting(record["id"])
        for queue in {found.token.place.queue for found in waiting}:
            self._set_alarm(queue, record["id"], names.micros(record["expires"]))

    def _set_alarm(self, queue: str, parent: int, due: int) -> None:
        place = alarm_place(queue, due / 1_000_000)
        bucket = place.bucket(self._layout, names.block_of(parent))
        self._fs.mark(f"{bucket}/{alarm_name(parent, due)}")
        self.bump(queue)

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

    # -- waiting children ------------------------------------------------------------------------

    def release(self, parent: int, now: float) -> None:
        """Move the children that lie under this parent on, each to where it belongs now.

        Called after whatever may have done the parent; for one that is not done it changes
        nothing. Any number of callers may do it at once: each move is one rename.
        """
        if self._families.has_children(parent):
            self.move_on(parent, now)

    def release_all(self, parents: list[int], now: float) -> None:
        """`release` for several, which lie in a few buckets."""
        for parent in self._families.with_children(parents):
            self.move_on(parent, now)

    def move_on(self, parent: int, now: float) -> None:
        """`release` for who knows of a child: whoever removed the parent has dropped the markers
        of its children, among them those of one that was on its way."""
        for found in self._families.waiting(parent):
            record = self._tokens.read_or_none(found.token)
            if record is not None:
                with contextlib.suppress(Denied):
                    self.replace(found.token, found.name, record, now)

    def replace(self, token: Token, name: names.JobName, record: Record, now: float) -> bool:
        """Move an inactive job to the place where it belongs now. False: it is there, or gone."""
        place = self.place(record, now)
        if place == token.place._replace(batch=""):
            return False
        moved = self._tokens.put(token.path, record, place, name.epoch, name.revision, name.nonce)
        if moved is None:
            return False
        # Not synced: after power loss it lies where it was, and is moved again.
        self.settle_in(moved, record, now)
        return True
