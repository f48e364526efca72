"""Publication: where a job that becomes inactive goes, new ones and those that come back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from spoolq.files import names, records
from spoolq.files.counters import Counter
from spoolq.files.families import Families, alarm_name, alarm_place
from spoolq.files.fresh import Fresh
from spoolq.files.fs import Denied, Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.files.places import Place, Places, job_name, waiting
from spoolq.files.tokens import Token, Tokens
from spoolq.transitions import Record


class Publisher(Fresh):
    """Puts jobs into the places where claimers look, those that have parents too."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        places: Places,
        tokens: Tokens,
        families: Families,
        counter: Counter,
        low_water: int,
        elapsed: Callable[[], float],
    ) -> None:
        super().__init__(fs, layout, places, counter, low_water, elapsed)
        self._tokens = tokens
        self._families = families

    # -- batches ---------------------------------------------------------------------------------

    def enqueue_many(self, batch: Sequence[Record], now: float, *, hold: bool = False) -> list[int]:
        """Publish jobs that share queue, priority, delay and parents: one rename shows them all."""
        if not batch:
            return []
        self.check_space()
        bodies = [records.encode_body(record) for record in batch]
        first = self._counter.take(len(batch))
        ids = list(range(first, first + len(batch)))
        for id_, record in zip(ids, batch, strict=True):
            record["id"] = id_
        place = self.held(batch[0]) if hold else self.place(batch[0], now)
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
            self.settle_in(place, batch[0], now)
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
        return super().place(record, now)

    def held(self, record: Record) -> Place:
        """Where a job with this record lies while it is held; its parents are told of it."""
        if record["parents"]:
            self._families.mark(record)
        return super().held(record)

    def settle_in(self, place: Place, record: Record, now: float) -> None:
        """After a publication that is not of a fresh ready job: tell the claimers, and let a
        child look at its parent once more (the other half of store-then-list)."""
        if place.kind == "waiting":
            parent = int(place.key)
            blocking = self._families.blocking(record, now)
            if blocking is None or blocking.name.id != parent:
                self.move_on(parent, now)
            elif blocking.name.expires is not None:
                self._set_alarm(place.queue, parent, blocking.name.expires)
        else:
            super().settle_in(place, record, now)
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
        self.settle_in(moved.place, record, now)
        return True
