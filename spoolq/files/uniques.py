"""Unique keys: who holds one is said by the one name in its directory.

    unique/new/<id>.<nonce>.json      a job that is complete and has no place yet
    unique/<shard>/<digest of key>/   holds one empty file, or nothing:
        <id>.<nonce>[.w][.u<until>][.r<ids>]

The name is a **mark**: the job that holds the key. A key that nobody holds is taken by renaming a
private directory, with the mark in it, to the key's: that fails unless the key's directory is
missing or empty. A mark that counts no more is replaced by renaming that very name. So of any
number of takers one wins, and nobody looks before he leaps.

A mark does not have to be removed to count no more. It counts as long as its job says so (`holds`
in `spoolq.gates`): whoever dies before he could remove it keeps nobody out.

A job whose mark is there and which still lies in `new/` is enqueued: anybody who meets the mark
gives it its place. Without its mark it was never enqueued.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spoolq.files import names
from spoolq.files.catalog import Catalog
from spoolq.files.fs import Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.gates import Gate, Mark, digest, holds, parse_mark, running_twin
from spoolq.states import State

_SHARD: Final = 3  # digits of the digest: a million keys make directories of 244 names
_UNFINISHED: Final = frozenset[State]({"inactive", "active"})


class Uniques:
    """The unique keys of one spool."""

    # Set by `UniqueJobs`, which lies above: give the job of a mark its place, if it has none yet,
    # and remove the jobs that it replaces, but for those that run.
    complete: Callable[[Mark, float], None]
    remove_replaced: Callable[[Mark, float], None]

    def __init__(self, fs: Filesystem, layout: Layout, catalog: Catalog) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self.new = f"{layout.unique}/new"

    def holder(self, key: Gate, now: float) -> Mark | None:
        """The mark that counts."""
        mark = self.present(key)
        return mark if mark and self.counts(key, mark, now) else None

    def present(self, key: Gate) -> Mark | None:
        """The mark that is there, whether it counts or not."""
        return self._present(self._directory(key))

    def counts(self, key: Gate, mark: Mark, now: float) -> bool:
        """Whether this mark on this key keeps others out."""
        # RACE: before the look: a job that is just given its place would be seen nowhere.
        self.complete(mark, now)
        started = mark.waiting and self._has_started(key, mark)
        state = self.state(mark.id, now)
        if mark.waiting and state == "active":
            # RACE: claimed, but it has to give the claim back unless it gets the other key. Asked
            # for before the state: a job that has ended since holds neither.
            return not started
        return holds(mark, state, now)

    def _has_started(self, key: Gate, mark: Mark) -> bool:
        running = self.present(running_twin(key))
        return running is not None and running.id == mark.id

    def state(self, id: int, now: float) -> State | None:
        """The state of a job; None when it is not there, or has expired."""
        found = self._catalog.find(id)
        return None if found is None or found.expired(now) else found.state

    def take(self, key: Gate, mark: Mark, now: float, *, replace: bool = False) -> Mark:
        """Put the mark on this key, unless another job's counts; the one that is there then.

        With `replace` also if another's counts: the new one names it, and those that that one
        has replaced and that still run. After return it survives power loss once something later
        is synced, or `sync` was called.
        """
        directory = self._directory(key)
        while True:
            present = self._present(directory)
            if present is None:
                if self._begin(directory, mark):
                    return mark
                self._fs.touch_directory(directory)  # RACE: taken, or an old listing
                continue
            wanted = mark
            if present.id != mark.id and self.counts(key, present, now):
                if not replace:
                    return present
                older = [old for old in present.replaces if self.state(old, now) in _UNFINISHED]
                wanted = mark._replace(replaces=(present.id, *older))
            elif present.id == mark.id:
                wanted = mark._replace(replaces=present.replaces)
            if self._fs.move(f"{directory}/{present.name}", f"{directory}/{wanted.name}"):
                return wanted

    def sync(self, key: Gate) -> None:
        """The mark on this key survives power loss after return."""
        directory = self._directory(key)
        for path in (directory, directory.rpartition("/")[0]):
            self._fs.sync_directory(path)

    def drop(self, key: Gate, id: int) -> None:
        """Remove the mark of this job from its key, if it is there.

        Not synced: a mark that comes back counts no more than before.
        """
        directory = self._directory(key)
        present = self._present(directory)
        if present is not None and present.id == id:
            self._remove(directory, present)

    def collect(self, now: float) -> None:
        """Remove the marks that count no more and that nobody has removed."""
        unfinished: dict[int, set[int]] = {}
        for shard in self._fs.list(self._layout.unique):
            base = f"{self._layout.unique}/{shard}"
            for name in self._fs.list(base) if base != self.new else ():
                mark = self._present(f"{base}/{name}")
                if mark is None:
                    self._fs.rmdir(f"{base}/{name}")
                    continue
                block = names.block_of(mark.id)
                if mark.until is None and block not in unfinished:
                    # One look for 256 jobs: most marks are of jobs that wait.
                    unfinished[block] = set(self._catalog.block(block, _UNFINISHED))
                if mark.until is None and mark.id in unfinished[block]:
                    continue
                self.complete(mark, now)
                state = self.state(mark.id, now)
                if state != "active" and not holds(mark, state, now):
                    self._remove(f"{base}/{name}", mark)
            self._fs.rmdir(base)

    def _remove(self, directory: str, mark: Mark) -> None:
        if self._fs.unlink(f"{directory}/{mark.name}"):
            self._fs.rmdir(directory)

    def _begin(self, directory: str, mark: Mark) -> bool:
        """Take a key that nobody holds; False when somebody does."""
        fs, staged = self._fs, f"{self._layout.tmp}/unique.{names.nonce()}"
        fs.mkdir(staged, sync=False)
        fs.create(f"{staged}/{mark.name}", b"", sync=False)
        while True:
            try:
                if fs.claim_directory(staged, directory):
                    return True
                break
            except NoDirectory:
                fs.mkdir(directory.rpartition("/")[0])
        fs.unlink(f"{staged}/{mark.name}")
        fs.rmdir(staged)
        return False

    def _present(self, directory: str) -> Mark | None:
        for name in self._fs.list(directory):
            mark = parse_mark(name)
            if mark is not None:
                return mark
        return None

    def _directory(self, key: Gate) -> str:
        name = digest(key.name)
        return f"{self._layout.unique}/{name[:_SHARD]}/{name}"
