"""Unique jobs: how one is stored so that its key and its place are got together, or neither.

1. write the job complete as `unique/new/<id>.<nonce>[.held].json`, and sync it;
2. put its mark on the key: **the commit**, and the guarantee (see `uniques`);
3. remove the jobs that it replaces, but for those that run;
4. move it from `new/` to its place, and sync that.

Anybody who meets the mark while the job is still in `new/` does 3 and 4: dying after 2 leaves a
job that is enqueued, dying before it leaves a file that repair deletes after an hour.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from spoolq.errors import DuplicateJob, JobCorrupt
from spoolq.files import names, records
from spoolq.files.fs import Filesystem
from spoolq.files.publish import Publisher
from spoolq.files.settle import Settler
from spoolq.files.tokens import Tokens
from spoolq.files.uniques import Uniques
from spoolq.gates import Gate, Mark, key_of, mark_of
from spoolq.transitions import Record

_LEFTOVER: Final = 3600.0  # seconds, as of other private files


class UniqueJobs:
    """Stores jobs that have a unique key."""

    def __init__(
        self,
        fs: Filesystem,
        uniques: Uniques,
        tokens: Tokens,
        publisher: Publisher,
        settler: Settler,
        take_id: Callable[[], int],
        trash: str,
    ) -> None:
        self._fs = fs
        self._uniques = uniques
        self._tokens = tokens
        self._publisher = publisher
        self._settler = settler
        self._take_id = take_id
        self._trash = trash
        uniques.complete = self.complete
        uniques.remove_replaced = self.remove_replaced

    def enqueue(
        self, record: Record, now: float, *, replace: bool = False, hold: bool = False
    ) -> int:
        """Store a new job, held or not; its id. It survives power loss after return.

        Raises DuplicateJob.
        """
        key = key_of(record)
        held = self._uniques.holder(key, now)
        if held is not None and not replace:
            self._keep(key)
            raise DuplicateJob(held.id, key.key)  # the common duplicate costs no id and no file
        self._publisher.check_space()
        body = records.encode_body(record)  # refuses before an id is taken
        id_ = record["id"] = self._take_id()
        mark = mark_of(record, names.nonce())
        path = self._path(mark, held=hold)
        self._write(path, records.seal(body, id_))
        # CRASH: dying here leaves a file that nobody was told of.
        there = self._uniques.take(key, mark, now, replace=replace)
        if there.id != id_:
            self._fs.unlink(path)  # RACE: somebody else has just got the key
            self._keep(key)
            raise DuplicateJob(there.id, key.key)
        if not self._fs.ordered:
            # SYNC: the job shall not survive without its mark, nor the one come back that had the
            # key before and was removed by a process that died before it had synced that.
            self._uniques.sync(key)
            self._fs.sync_directory(self._trash)
        # CRASH: dying from here on leaves an enqueued job: whoever meets its mark completes it.
        self.complete(there, now)
        # Its name where it was: a rename survives once either directory was synced, and somebody
        # may have claimed it already.
        self._fs.sync_directory(self._uniques.new)
        return id_

    def _keep(self, key: Gate) -> None:
        """The job that holds this key survives power loss after return: somebody is told of it,
        and whoever stored it may have died before he had synced it."""
        if not self._fs.ordered:
            self._uniques.sync(key)
        self._fs.sync_directory(self._uniques.new)

    def holder(self, key: str, now: float) -> Mark | None:
        """The mark of the job that holds this key."""
        return self._uniques.holder(Gate("unique", key), now)

    def complete(self, mark: Mark, now: float) -> None:
        """Give the job of a mark its place, unless it has had it already. By anybody."""
        for held in (False, True):
            self._complete(mark, now, held=held)

    def _complete(self, mark: Mark, now: float, *, held: bool) -> None:
        path = self._path(mark, held=held)
        try:
            data = self._fs.read(path, records.MAX_SIZE)
            record = None if data is None else records.decode(data)
        except JobCorrupt as error:
            # Power loss with durability "none", or a bad disk: nobody was told that it is safe.
            self._settler.set_aside(path, str(error), now)
            return
        if record is None:
            return
        self.remove_replaced(mark, now)
        place = self._publisher.held(record) if held else self._publisher.place(record, now)
        token = self._tokens.put(path, record, place, 0, 0, mark.nonce)
        if token is not None:
            self._publisher.settle_in(token.place, record, now)

    def remove_replaced(self, mark: Mark, now: float) -> None:
        """Remove the jobs that this one replaces; one that runs is left to end: see `Gates`."""
        for older in mark.replaces:
            if self._uniques.state(older, now) == "inactive":
                # RACE: claimed since the look. If it runs, the new one waits until it has ended;
                # if it finds that it has lost its key, whoever claimed it removes it.
                self._settler.remove(older, now)

    def collect(self, now: float) -> None:
        """Drop the marks of jobs that have ended, or are not there."""
        self._uniques.collect(now)

    def complete_all(self, now: float, disk_now: float) -> None:
        """Complete what was enqueued, delete what was not and is old."""
        for name in self._fs.list(self._uniques.new):
            path = f"{self._uniques.new}/{name}"
            with suppress(JobCorrupt):
                data = self._fs.read(path, records.MAX_SIZE)
                record = None if data is None else records.decode(data)
                if record is not None and "unique" in record:
                    self._uniques.holder(key_of(record), now)  # completes it, if it is its mark
            changed = self._fs.modified(path)
            if changed is not None and changed < disk_now - _LEFTOVER:
                self._fs.unlink(path)

    def _path(self, mark: Mark, *, held: bool) -> str:
        end = "held.json" if held else "json"
        return f"{self._uniques.new}/{mark.id}.{mark.nonce}.{end}"

    def _write(self, path: str, data: bytes) -> None:
        if not self._fs.is_there(self._uniques.new):
            self._fs.mkdir(self._uniques.new)
        self._fs.create(path, data)
        if not self._fs.ordered:
            # SYNC: a mark that survives without its job would be of no job.
            self._fs.sync_directory(self._uniques.new)
