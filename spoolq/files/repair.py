"""Repair: what crashes and time have left, put right. Idempotent; any number may run at once.

One function for each leftover that docs/format.md names. A repairer that dies is continued by
the next one. Nothing here is needed for what was acknowledged to be safe: only for it to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from spoolq.errors import JobCorrupt
from spoolq.executables import EXEC
from spoolq.files import names
from spoolq.files.catalog import Catalog, Found
from spoolq.files.census import Census, limits, oldest_end
from spoolq.files.chain import mend
from spoolq.files.environments import Environments
from spoolq.files.families import Families
from spoolq.files.fs import Denied, Filesystem
from spoolq.files.layout import Layout
from spoolq.files.locks import Locks
from spoolq.files.places import FINISHED
from spoolq.files.publish import Publisher
from spoolq.files.queues import CONTROL, Queues
from spoolq.files.registry import Entry, Registry
from spoolq.files.schedules import Schedules
from spoolq.files.settle import Settler
from spoolq.files.slots import SLOTS, Slots
from spoolq.files.tokens import Token, Tokens, stem
from spoolq.files.unique_jobs import UniqueJobs
from spoolq.model import FOREGROUND_QUEUE, STATES, STUCK, WORKER_GONE, State
from spoolq.transitions import Backoff

_LEFTOVER: Final = 3600.0  # seconds after which a private file belongs to nobody any more
_UNSYNCED: Final = 60.0  # seconds after which a complete change is durable too
_RECENT: Final = 4  # buckets of the latest jobs that are read after a boot
_UNFINISHED: Final = frozenset[State]({"inactive", "active"})


class Repairer:
    """Puts one spool right."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        tokens: Tokens,
        catalog: Catalog,
        families: Families,
        publisher: Publisher,
        settler: Settler,
        registry: Registry,
        locks: Locks,
        schedules: Schedules,
        queues: Queues,
        slots: Slots,
        census: Census,
        uniques: UniqueJobs,
        environments: Environments,
        disk_time: Callable[[], float],
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._tokens = tokens
        self._catalog = catalog
        self._families = families
        self._publisher = publisher
        self._settler = settler
        self._registry = registry
        self._locks = locks
        self._schedules = schedules
        self._queues = queues
        self._slots = slots
        self._census = census
        self._uniques = uniques
        self._environments = environments
        self._disk_time = disk_time

    def run(
        self,
        now: float,
        backoff: Backoff,
        *,
        missing_after: float,
        remove_after: float,
        stuck_after: float,
    ) -> None:
        """All of it, each before what depends on it, so that a second run finds nothing more."""
        self.complete_changes(now)
        self._uniques.complete_all(now, self._disk_time())
        self._schedules.repair(now, self._disk_time())
        self.declare_dead_workers(now, missing_after)
        self.sweep_dead_workers(now, backoff)
        self.remove_expired(now)
        self.release_children(now)
        while self.fail_stuck(now, stuck_after):
            pass  # a lax child that a stuck parent lets go may be overdue itself
        # Last, and not second as in Minion [207]: an expired child must not keep its parent.
        self.remove_old(now, remove_after)
        self._uniques.collect(now)
        self._environments.collect(now, self._disk_time(), self._environments_of_jobs)
        self.remove_empty_places()
        self.collect_leftovers()

    def recover_from_power_loss(self, now: float) -> int:
        """What power loss leaves, put right before anybody sees it; the highest id in use.

        Outcomes whose commit was undone are let count, new jobs that were not complete yet are
        dropped, and where changes of names survive in any order, an old file of a job may be back
        in its place beside the new one: the later revision is the job.
        """
        if not self._fs.ordered:
            self._mend_chains()
        self.complete_changes(now)
        self._let_outcomes_count(now)
        self._drop_half_written(now)
        return 0 if self._fs.ordered else self._drop_older_files()

    def _mend_chains(self) -> None:
        fs, layout = self._fs, self._layout
        for above in (layout.locks, layout.limits):
            for name in fs.list(above):
                mend(fs, f"{above}/{name}")
        for queue in fs.list(layout.inactive):
            for kind in (CONTROL, SLOTS):
                mend(fs, f"{layout.inactive}/{queue}/{kind}")

    def _let_outcomes_count(self, now: float) -> None:
        """Outcomes that stand alone in `settling/`: the latest readable one of a job counts,
        unless the job has gone on."""
        done: set[int] = set()
        for name, change in reversed(self._tokens.outcomes()):
            found = self._catalog.find(change.id)
            gone_on = change.id in done or (
                found is not None
                and (found.name.revision >= change.revision or found.name.epoch > change.epoch)
            )
            # CRASH: dying behind `decide` leaves a change that is committed and not complete.
            if not gone_on and self._tokens.decide(name, found.token if found else None):
                self._complete(name, now)
                done.add(change.id)
            else:
                self._fs.unlink(f"{self._layout.settling}/{name}")

    def _drop_half_written(self, now: float) -> None:
        """New jobs whose enqueue never answered: they have a name before their content is synced.

        Each process had one at most, so they are among the latest; one of a process that slept
        longer is set aside by whoever claims it.
        """
        for block in self._catalog.blocks(_UNFINISHED, None)[:_RECENT]:
            for found in list(self._catalog.files(block, states=_UNFINISHED)):
                if found.name.revision == 0 and self._is_half_written(found.token):
                    # CRASH: dying behind this is a drop that nobody was told of.
                    self._drop(found)
                    self._settler.report("enqueue undone by power loss", found.name.id, now)

    def _is_half_written(self, token: Token) -> bool:
        try:
            self._tokens.read(token)
        except JobCorrupt:
            return True
        return False

    def _drop_older_files(self) -> int:
        highest = 0
        running: dict[int, list[Found]] = {}
        for item in self._catalog.active():
            running.setdefault(names.block_of(item.name.id), []).append(item)
        for block in self._catalog.blocks(STATES, None):
            files: dict[int, list[Found]] = {}
            for found in self._catalog.files(block, running.get(block, [])):
                files.setdefault(found.name.id, []).append(found)
            highest = max([highest, *files])
            for copies in files.values():
                latest = max(copies, key=lambda found: found.name.version)
                for found in copies:
                    if found is not latest:
                        self._drop(found)
        return highest

    def _drop(self, found: Found) -> None:
        gone = f"{self._layout.trash}/{found.token.name}.{names.nonce()}"
        if self._fs.move(found.token.path, gone):
            self._fs.sync_directory(found.token.directory)

    def complete_changes(self, now: float) -> None:
        """Changes that were committed and not completed."""
        for name in self._fs.list(self._layout.settling):
            if self._tokens.committed(name):
                self._complete(name, now)

    def _complete(self, name: str, now: float) -> bool:
        """Complete a committed change; False when its new file cannot be read."""
        try:
            token = self._tokens.complete(name)
        except JobCorrupt as error:
            self._bring_back(name, now)
            self._settler.set_aside(f"{self._layout.settling}/{name}", str(error), now)
            return False
        if token and token.place.state == "inactive":
            self._publisher.bump(token.place.queue)
        return True

    def _bring_back(self, name: str, now: float) -> None:
        """A change whose new file cannot be read: the job as it was, tried again like one that is
        moved by hand."""
        old = self._tokens.old_of(name)
        try:
            record = self._tokens.read(old)
        except JobCorrupt as error:
            self._settler.set_aside(old.path, str(error), now)
            return
        change = self._tokens.committed(name)
        if record is not None and change is not None:
            numbers = (change.id, change.epoch, change.revision, names.nonce())
            kept = names.JobName(*numbers, *(None,) * 5, task=names.encode(record["task"]))
            # CRASH: dying after this leaves a new file that was not decided.
            self._fs.move(old.path, f"{self._layout.inactive}/{kept}")

    # -- workers ---------------------------------------------------------------------------------

    def declare_dead_workers(self, now: float, missing_after: float) -> None:
        """Workers whose process is gone for certain, or that have not beaten for too long."""
        for entry in self._registry.entries():
            silent = self._registry.silent(entry, now, missing_after)
            with suppress(Denied):
                if self._registry.proven_dead(entry):
                    self._registry.declare_dead(entry)
                elif silent:
                    self._give_up(entry, now)

    def _give_up(self, entry: Entry, now: float) -> None:
        """Declare a worker dead that may live, and put on record what it performs.

        A job of it may run twice at once from now on. If the worker goes on, its outcome is
        refused and says so; but it may be killed before, without a word.
        """
        held = [found.name for found in self._catalog.of_worker(entry.worker)]
        # CRASH: dying after the declaration loses this record; before it, every repairer that
        # loses the race, or finds that the worker has just beaten, would leave a false one.
        if self._registry.declare_dead(entry):
            about = {"worker": entry.id, "notified": entry.notified}
            for name in held:
                self._settler.report("worker given up", name.id, now, epoch=name.epoch, **about)

    def rescue(self, now: float, backoff: Backoff, missing_after: float) -> bool:
        """Declare dead workers dead, and fail what they performed; whether there were any."""
        before = self._registry.entries()
        self.declare_dead_workers(now, missing_after)
        after = {entry.worker for entry in self._registry.entries()}
        if all(entry.worker in after for entry in before):
            return False
        self.sweep_dead_workers(now, backoff)
        return True

    def sweep_dead_workers(self, now: float, backoff: Backoff) -> None:
        """Fail what unregistered workers performed, job by job, then close their directories."""
        # RACE: the directories are listed first: a worker registers before it makes its own.
        # An inbox alone is left where power loss took a registration that was not synced.
        directories = {*self._fs.list(self._layout.active), *self._fs.list(self._layout.commands)}
        entries = self._registry.entries()
        registered = {entry.worker for entry in entries}
        for directory in directories - registered:
            self._sweep(directory, now, backoff)
        self._locks.release_workers({entry.id for entry in entries}, now)
        for queue, control in self._queues.everything(self._catalog.queues()).items():
            if control.limit is not None:
                self._slots.tidy(queue)

    def _sweep(self, directory: str, now: float, backoff: Backoff) -> None:
        path = f"{self._layout.active}/{directory}"
        for _ in range(3):
            self._fs.touch_directory(path)
            for found in list(self._catalog.of_worker(directory)):
                self._fail_lost(found, now, backoff)
            for name in self._fs.list(path):
                if names.parse(name) is None and name.startswith(".nfs"):
                    self._fs.unlink(f"{path}/{name}")
            # Only this closes it: until it succeeds a late claim may still land here (R10).
            if self._fs.rmdir(path) or not self._fs.is_directory(path):
                break
        self._registry.clean(directory)

    def _fail_lost(self, found: Found, now: float, backoff: Backoff) -> None:
        try:
            record = self._tokens.read(found.token)
        except JobCorrupt as error:
            self._settler.set_aside(found.token.path, str(error), now)
            return
        if record is not None and record["queue"] != FOREGROUND_QUEUE:
            with suppress(Denied):
                if not self._roll_forward(found, now):
                    self._settler.fail_lost(found, WORKER_GONE, now, backoff)

    def _roll_forward(self, found: Found, now: float) -> bool:
        """Commit the outcome of a lost claim, if its holder came as far as writing it down."""
        for name, change in self._tokens.outcomes():
            of_this = change.id == found.name.id and change.revision == found.name.revision + 1
            if of_this and self._tokens.decide(name, found.token):
                return self._complete(name, now)
        return False

    # -- age -------------------------------------------------------------------------------------

    def _environments_of_jobs(self) -> set[str]:
        """The names of the environments that jobs of any state have."""
        needed = set()
        for found in self._catalog.walk(STATES):
            if found.name.task == EXEC:
                with suppress(JobCorrupt):
                    env = self._kwargs_of(found).get("env")
                    if isinstance(env, str):
                        needed.add(env)
        return needed

    def _kwargs_of(self, found: Found) -> dict[str, Any]:
        record = self._tokens.read(found.token)
        if record is None:  # RACE: it has moved on since it was listed
            again = self._catalog.find(found.name.id)
            record = None if again is None else self._tokens.read(again.token)
        kwargs: dict[str, Any] = {} if record is None else record["kwargs"]
        return kwargs

    def remove_old(self, now: float, remove_after: float) -> None:
        """Finished jobs past their time that no unfinished job names as a parent [215-218]."""
        limit = names.micros(now - remove_after)
        families: dict[int, set[str]] = {}
        for directory in list(self._census.shards("finished")):
            oldest = self._census.ask(directory, oldest_end)
            if oldest is None or oldest > limit:
                continue
            for found in self._catalog.of_directory(FINISHED, directory):
                at = found.name.finished
                if at is None or at > limit:
                    continue
                if not self._families.unfinished_children(found.name.id, families):
                    with suppress(Denied):
                        self._settler.discard(found, now)
            self._fs.rmdir(directory)

    def remove_expired(self, now: float) -> None:
        """Inactive jobs past their expiry; their children take them as done [137, 219]."""
        limit = names.micros(now)
        for place, directory in list(self._census.inactive()):
            counted, _ = self._census.ask(directory, limits)
            if any(at <= limit for _, at in counted.expiries):
                for found in self._catalog.of_directory(place, directory):
                    if found.expired(now):
                        with suppress(Denied):
                            self._settler.discard(found, now)

    def fail_stuck(self, now: float, stuck_after: float) -> int:
        """Inactive jobs overdue by too long, but for those that wait for a parent [220-225], or
        for somebody who releases them.

        How many were failed.
        """
        limit, stuck = names.micros(now - stuck_after), 0
        for place, directory in list(self._census.inactive()):
            _, oldest = self._census.ask(directory, limits)
            if place.kind in ("waiting", "held") or oldest is None or oldest >= limit:
                continue
            for found in self._catalog.of_directory(place, directory):
                due = found.name.due
                if due is None or due >= limit:
                    continue
                record = self._tokens.read_or_none(found.token)
                if record is not None and self._families.blocking(record, now) is None:
                    with suppress(Denied):
                        stuck += self._settler.fail_stuck(found, record, STUCK, now)
        return stuck

    # -- backstops -------------------------------------------------------------------------------

    def release_children(self, now: float) -> None:
        """Waiting jobs whose parent has ended: behind the hints that move them at once."""
        parents = {
            parent
            for place in self._catalog.inactive_places()
            if place.kind == "waiting" and (parent := names.number(place.key)) is not None
        }
        for parent in parents:
            found = self._catalog.find(parent)
            if found is None or found.state in ("finished", "failed") or found.expired(now):
                self._publisher.move_on(parent, now)
                self._set_unreadable_aside(parent, now)

    def _set_unreadable_aside(self, parent: int, now: float) -> None:
        for found in list(self._families.waiting(parent)):
            try:
                self._tokens.read(found.token)
            except JobCorrupt as error:
                self._settler.set_aside(found.token.path, str(error), now)

    def remove_empty_places(self) -> None:
        """Directories of parents under which nobody waits any more."""
        for place in list(self._catalog.inactive_places()):
            if place.kind == "waiting":
                for _, bucket in list(self._catalog.buckets(place)):
                    self._fs.rmdir(bucket)
                self._fs.rmdir(place.directory(self._layout))

    def collect_leftovers(self) -> None:
        """Private files that nobody can be writing any more, and what lies in the trash."""
        now, layout = self._disk_time(), self._layout
        for directory in (layout.tmp, layout.settling):
            for name in self._fs.list(directory):
                modified = self._fs.modified(f"{directory}/{name}")
                if modified is not None and modified < now - _LEFTOVER:
                    self.delete(f"{directory}/{name}")
        for name in self._fs.list(layout.trash):
            path = f"{layout.trash}/{name}"
            if names.number(name) is not None:
                self._empty(path, now)
            else:
                self.delete(path)

    def _empty(self, shard: str, now: float) -> None:
        """Delete the old files of a shard of the trash whose changes are complete."""
        if self._fs.changed(shard)[1] / 1e9 > now - _UNSYNCED:
            return  # a change may be complete and not synced by its own process yet
        old = self._fs.list(shard)
        # RACE: listed after the trash: a change whose new file is not here now is complete.
        under_way = {stem(name) for name in self._fs.list(self._layout.settling)}
        gone = [name for name in old if stem(name) not in under_way]
        if gone and not self._fs.ordered:
            # SYNC: without its old file nobody would take a new one, back in settling/, for
            # committed: first it has to stay where it was moved.
            self._fs.sync_directory(self._layout.settling)
        for name in gone:
            self._fs.unlink(f"{shard}/{name}")
        self._fs.rmdir(shard)

    def delete(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        if self._fs.is_directory(path):
            for name in self._fs.list(path):
                self.delete(f"{path}/{name}")
            self._fs.rmdir(path)
        else:
            with suppress(Denied):
                self._fs.unlink(path)
