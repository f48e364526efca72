"""The file backend: wires the parts of a spool to the storage contract."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from spoolq import asked
from spoolq.backend import Backend, Finished
from spoolq.claimed import claimed, copied
from spoolq.clock import Clock, SystemClock
from spoolq.control import NOTHING, Control, changed
from spoolq.errors import InvalidType, JobCorrupt, NotASpool, SpoolUnavailable
from spoolq.files import layout as roots
from spoolq.files import names, records
from spoolq.files.catalog import Catalog, Found
from spoolq.files.census import Census
from spoolq.files.claims import Claimer, Due
from spoolq.files.counters import Counter
from spoolq.files.doorbell import FileDoorbell
from spoolq.files.endings import Endings
from spoolq.files.environments import Environments
from spoolq.files.families import Families, parse_alarm
from spoolq.files.filters import Filter
from spoolq.files.fs import Denied, Filesystem, NoDirectory
from spoolq.files.gates import Gates, is_gated
from spoolq.files.inbox import Inbox
from spoolq.files.layout import Layout
from spoolq.files.limits import Limits
from spoolq.files.locks import Locks
from spoolq.files.places import Place, Places
from spoolq.files.publish import Publisher
from spoolq.files.queues import Queues
from spoolq.files.registry import Registry
from spoolq.files.repair import Repairer
from spoolq.files.schedules import Broken, Schedules
from spoolq.files.settle import Claim, Outcome, Settler, as_active
from spoolq.files.slots import Slots
from spoolq.files.tokens import Token, Tokens
from spoolq.files.unique_jobs import UniqueJobs
from spoolq.files.uniques import Uniques
from spoolq.gates import refuse_unique
from spoolq.model import JSON, Claimed, JobInfo, Page, State
from spoolq.schedules import (
    DISPATCH_INTERVAL,
    check_name,
    new_schedule,
    replaced,
)
from spoolq.schedules import info as schedule_info
from spoolq.settings import Settings, check_durability
from spoolq.transitions import (
    Backoff,
    Record,
    check_flag,
    check_id,
    check_json,
    check_object,
    check_parents,
    check_priority,
    check_queue,
    check_seconds,
    expired,
    new_record,
)

_POLL: Final = (0.002, 0.05)  # seconds between two looks while waiting: the first, the longest
_INBOX: Final = 0.5  # seconds between two looks into the inbox by a busy claimer
_PROBE: Final = 60.0  # seconds between two questions for the file server's time
_TOLD: Final = 10_000  # claims after which those that have ended are forgotten
_RUBBISH: Final = 5000  # old files that a process that is never idle lets lie
_INACTIVE: Final = frozenset[State]({"inactive"})


class FileBackend(Backend):
    """A spool in a directory, made on first use.

    Raises NotASpool, UnsupportedFormat, UnsafeSpool or SpoolUnavailable, having touched nothing.
    `durability` and the three `_after` values override what the spool's `spoolq.toml` says.
    """

    def __init__(
        self,
        root: str,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        backoff: Backoff | None = None,
        missing_after: float | None = None,
        remove_after: float | None = None,
        stuck_after: float | None = None,
        durability: str | None = None,
        filesystem: type[Filesystem] = Filesystem,
    ) -> None:
        root = os.path.abspath(root)
        if os.path.lexists(root) and not os.path.isdir(root):
            raise NotASpool(f"{root} is not a directory; name another root", root)
        self.root = root
        self.settings = settings or roots.read_settings(root)
        self._given = {
            "missing_after": missing_after,
            "remove_after": remove_after,
            "stuck_after": stuck_after,
        }
        self._durability = durability or os.environ.get("SPOOLQ_DURABILITY")
        super().__init__(backoff=backoff)
        self._follow_settings()
        self._clock = clock or SystemClock()
        self._fs = filesystem(
            root,
            durable=self._durable,
            shared=self.settings.mode == "group",
        )
        self._lock = threading.RLock()
        self._offset, self._probed = 0.0, -_PROBE
        # Claims that callers were told of, as (worker's directory, epoch); and by worker those in
        # its directory that were not among them at its last heartbeat.
        self._told: dict[int, tuple[str, int]] = {}
        self._unknown: dict[str, dict[int, tuple[str, int]]] = {}
        self._entered: set[int] = set()
        self._next_inbox = 0.0
        self._encodings: dict[tuple[str, ...], frozenset[str]] = {}
        self.created = roots.open_root(self._fs, self._clock.wall())
        self._wire(Layout(root))
        self._recover_after_boot()
        _after_fork(weakref.WeakMethod(self._become_child))

    def _follow_settings(self) -> None:
        settings = self.settings
        self.missing_after = _first(self._given["missing_after"], settings.missing_after)
        self.remove_after = _first(self._given["remove_after"], settings.remove_after)
        self.stuck_after = _first(self._given["stuck_after"], settings.stuck_after)
        self._durable = check_durability(self._durability or settings.durability) == "full"

    def _wire(self, layout: Layout) -> None:
        fs = self._fs
        self._layout = layout
        self._jobs = Counter(fs, layout.ids, "job")
        self._places = Places(fs, layout)
        self._tokens = Tokens(fs, layout, self._places, self._clock.elapsed)
        self._catalog = Catalog(fs, layout, self._places, self._tokens)
        self._tokens.find_revision = self._catalog.revision
        self._tokens.before_publish = self._before_publish
        self._endings = Endings(fs, layout)
        self._census = Census(fs, layout, self._catalog, self._disk_time)
        self._families = Families(fs, layout, self._catalog, self._census, self._jobs)
        uniques = Uniques(fs, layout, self._catalog)
        self._gates = Gates(fs, uniques, Limits(fs, layout, self._catalog))
        self._publisher = Publisher(
            fs,
            layout,
            self._places,
            self._tokens,
            self._families,
            self._gates,
            self._jobs,
            roots.low_water(fs, self.settings),
            self._clock.elapsed,
        )
        self._publisher.count_waiting = lambda queue: self._census.count_inactive(
            self._now(), {queue}
        )[0]
        self._settler = Settler(
            fs, layout, self._tokens, self._catalog, self._families, self._publisher
        )
        self._uniques = UniqueJobs(
            fs,
            uniques,
            self._tokens,
            self._publisher,
            self._settler,
            self._jobs.take,
            layout.trash,
        )
        self._inbox = Inbox(
            fs, layout, self._tokens, self._catalog, self._publisher, self._settler, self._jobs
        )
        self._queues = Queues(fs, layout)
        self._slots = Slots(fs, layout, self._catalog, self._settler.read, self._clock.elapsed)
        self._settler.left = self._free_slot
        self._claimer = Claimer(fs, layout, self._queues, self._slots)
        self._registry = Registry(fs, layout, self._catalog, Counter(fs, layout.ids, "worker"))
        self._locks = Locks(fs, layout, Counter(fs, layout.ids, "lock"))
        self._schedules = Schedules(
            fs,
            layout,
            self._places,
            self._catalog,
            self._publisher,
            self._settler,
            Counter(fs, layout.ids, "schedule"),
            self._jobs,
        )
        self._repairer = Repairer(
            fs,
            layout,
            self._tokens,
            self._catalog,
            self._families,
            self._publisher,
            self._settler,
            self._registry,
            self._locks,
            self._schedules,
            self._queues,
            self._slots,
            self._census,
            self._uniques,
            Environments(fs, layout),
            self._disk_time,
        )

    def _recover_after_boot(self) -> None:
        """On the first open after a boot, put right what power loss may have mixed up.

        On a local file system only: nobody can have used the spool since that boot. It saves a
        sync of every enqueue and of every outcome; where a file system may keep a later change
        of names and lose an earlier one, it costs a walk over the spool.
        """
        fs, ids = self._fs, self._layout.ids
        marker = f"boot.{fs.boot}"
        if not fs.local or marker in fs.list(ids):
            return
        from filelock import FileLock  # 10 ms: once a boot

        with FileLock(f"{self._layout.reserve}/recovery.lock", mode=fs.file_mode):
            older = [name for name in fs.list(ids) if name.startswith("boot.")]
            if marker in older:
                return  # RACE: another first opener has done it
            roots.complete(fs)  # a directory in which nothing ever was may be gone
            highest = self._repairer.recover_from_power_loss(self._now())
            highest = max(highest, self._schedules.recover_from_power_loss())
            if not fs.ordered:
                self._jobs.skip_lost(highest)
            # CRASH: dying before this has the next opener do it again, which changes nothing.
            fs.mark(f"{ids}/{marker}")
            for name in older:
                fs.unlink(f"{ids}/{name}")

    def _become_child(self) -> None:
        self._lock = threading.RLock()  # its owner, if it has one, is not in this process
        self._settler.forget_claims()
        self._endings.become_child()

    def _before_publish(self, old: Token, place: Place) -> None:
        # Between commit and publication, so that whoever reads the number afterwards looks at
        # the parent again, and whoever read it before answered for the time before.
        if place.state == "inactive" and old.place.kind not in _KINDS_NOT_DONE:
            self._jobs.reopen()

    # -- time ------------------------------------------------------------------------------------

    def _now(self) -> float:
        """The spool's time: this host's on a local file system, else the file server's (R8)."""
        if self._fs.local:
            return self._clock.wall()
        elapsed = self._clock.elapsed()
        if elapsed - self._probed >= _PROBE:
            self._offset = self._disk_time() - elapsed
            self._probed = elapsed
        return elapsed + self._offset

    def _disk_time(self) -> float:
        """The clock that mtimes are taken from."""
        if self._fs.local:
            return SystemClock().wall()
        return self._fs.server_time(f"{self._layout.tmp}/clock.{names.nonce()}")

    # -- jobs ------------------------------------------------------------------------------------

    def enqueue(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        *,
        replace: bool = False,
        hold: bool = False,
        **options: Any,
    ) -> int:
        now = self._now()
        record = new_record(task, args, kwargs, now, **options)
        hold = check_flag(hold, "hold")
        with self._lock:
            self._publisher.admits(record["queue"])
            if "unique" in record:
                return self._uniques.enqueue(record, now, replace=replace, hold=hold)
            return self._publisher.enqueue(record, now, hold=hold)

    def enqueue_many(
        self, jobs: Iterable[str | Sequence[Any]], *, hold: bool = False, **options: Any
    ) -> list[int]:
        if not options.keys().isdisjoint(_UNIQUE):
            refuse_unique(options)
        now, hold = self._now(), check_flag(hold, "hold")
        shared = new_record("-", [], None, now, **options)
        records = [{**shared, **_request(job)} for job in jobs]
        with self._lock:
            if records:
                self._publisher.admits(shared["queue"], len(records))
            return self._publisher.enqueue_many(records, now, hold=hold)

    def dequeue(
        self,
        worker_id: int,
        wait: float = 0,
        *,
        id: Any = None,
        min_priority: int | None = None,
        queues: Sequence[str] = ("default",),
        tasks: Sequence[str] | None = None,
    ) -> Claimed | None:
        wanted = None if id is None else check_id(id)
        least = None if min_priority is None else check_priority(min_priority)
        seconds = check_seconds(wait, "wait")
        lanes = self._encoded(queues, "queues")
        known = None if tasks is None else self._encoded(tasks, "tasks")
        deadline, pause = None, _POLL[0]
        while True:
            with self._lock:
                worker = self._registry.directory(worker_id)
                if worker is None:
                    return None
                claimed = self._claim(worker_id, worker, wanted, least, lanes, known)
                if claimed is None or self._tokens.rubbish > _RUBBISH:
                    self._tokens.tidy(100)
            if claimed or seconds <= 0:
                return claimed
            now = self._clock.elapsed()
            deadline = now + seconds if deadline is None else deadline
            left = deadline - now
            if left <= 0:
                return None
            self._clock.sleep(min(pause, left))
            pause = min(pause * 1.5, _POLL[1])

    def _encoded(self, values: Sequence[str], name: str) -> frozenset[str]:
        """As path components; remembered, because a worker asks for the same ones all day."""
        key = tuple(values)
        known = None if isinstance(values, str) else self._encodings.get(key)
        if known is None:
            if len(self._encodings) > 256:
                self._encodings.clear()
            known = frozenset(names.encode(value) for value in asked.strings(values, name))
            self._encodings[key] = known
        return known

    def _claim(
        self,
        worker_id: int,
        worker: str,
        wanted: int | None,
        least: int | None,
        queues: frozenset[str],
        tasks: frozenset[str] | None,
    ) -> Claimed | None:
        """Claim the best job that may run now; None when there is none."""
        now, elapsed = self._now(), self._clock.elapsed()
        if elapsed >= self._next_inbox:
            self._take_in(now, elapsed)
        views = self._claimer.views(queues, tasks)
        due = [item for view in views for item in view.refresh(now, elapsed)]
        if due:
            for item in due:
                self._promote(item, now)
            for view in views:
                view.refresh(now, elapsed)
        if wanted is not None:
            return self._claim_id(worker_id, worker, wanted, least, queues, tasks, now)
        while True:
            candidate = self._claimer.best(views, now, elapsed, least)
            if candidate is None:
                return None
            try:
                found = self._claimer.claim(candidate.directory, candidate.name, worker, now)
            except NoDirectory:
                self._registry.lost(worker_id)
                return None
            if found is None:
                candidate.lane.lost(candidate)  # RACE: losing is normal, try another
                continue
            candidate.lane.won(candidate)
            claimed = self._start(found, now)
            if claimed:
                return claimed

    def _claim_id(
        self,
        worker_id: int,
        worker: str,
        id: int,
        least: int | None,
        queues: frozenset[str],
        tasks: frozenset[str] | None,
        now: float,
    ) -> Claimed | None:
        """Claim this very job, under the same conditions [50]."""
        found = self._catalog.find(id)
        if found is None or found.token.place.kind != "ready" or found.expired(now):
            return None
        place = found.token.place
        if place.queue not in queues or (least is not None and int(place.key) < least):
            return None
        if tasks is not None and found.name.task not in tasks:
            return None
        views = self._claimer.views(queues, tasks)
        if not all(view.admits() for view in views if view.queue == place.queue):
            return None
        try:
            mine = self._claimer.claim(found.token.directory, found.token.name, worker, now)
        except NoDirectory:
            self._registry.lost(worker_id)
            return None
        return self._start(mine, now) if mine else None

    def _start(self, found: Found, now: float) -> Claimed | None:
        """Read what was claimed and look once more whether it may run; None: it was given back."""
        claimed = self._read_claim(found, now)
        if claimed:
            self._told[claimed["id"]] = (found.token.place.key, found.name.epoch)
        return claimed

    def _read_claim(self, found: Found, now: float) -> Claimed | None:
        while True:
            try:
                content = self._tokens.read_with_bytes(found.token)
            except JobCorrupt as error:
                self._settler.set_aside(found.token.path, str(error), now)
                return None
            if content is not None:
                record = as_active(found, content[0])
                if (
                    self._may_run(record, now)
                    and self._has_slot(record)
                    and self._enter(record, found, now)
                ):
                    self._settler.remember(Claim(found, record, content[1], mine=True))
                    return claimed(record)
                if is_gated(record) and self._gates.is_replaced(record, now):
                    if self._settler.discard(found, now):
                        return None
                elif self._settler.give_back(found, record, now):
                    return None
            # RACE: annotated meanwhile, and so under another name of the same claim; or taken
            # from us, by repair or by hand.
            again = self._catalog.find(found.name.id)
            if again is None or (again.token.place, again.name.epoch) != (
                found.token.place,
                found.name.epoch,
            ):
                return None
            found = again

    def _may_run(self, record: Record, now: float) -> bool:
        if expired(record, now):
            return False
        return not record["parents"] or self._families.blocking(record, now) is None

    def _enter(self, record: Record, found: Found, now: float) -> bool:
        """Pass the gates of a job that was claimed, as most have none."""
        return not is_gated(record) or self._gates.enter(record, found.name.epoch, now)

    def _has_slot(self, record: Record) -> bool:
        """Whether a job that was claimed may run beside the others of its queue: it counts now."""
        if not self._queues.limits:
            return True
        queue = names.encode(record["queue"])
        limit = self._queues.limits.get(queue)
        return limit is None or self._slots.take(queue, limit, record["id"])

    def _free_slot(self, record: Record) -> None:
        """An attempt is over: in a queue with a limit somebody else may start a job.

        A process that knows of no limit leaves it to the next claimer that finds no room; so does
        one to which the disk refuses it: the outcome is committed, and its caller is told so.
        """
        if self._queues.limits:
            queue = names.encode(record["queue"])
            with suppress(SpoolUnavailable):
                if queue in self._queues.limits and self._slots.free(queue, record["id"]):
                    self._publisher.ring(queue)

    def _promote(self, due: Due, now: float) -> None:
        """Put a delayed job that is due among the ready ones; act on an alarm."""
        alarm = parse_alarm(due.name)
        if alarm:
            self._publisher.release(alarm[1], now)
            self._fs.unlink(f"{due.directory}/{due.name}")
            return
        name = names.parse(due.name)
        if name is None:
            return
        place = _delayed_place(due.directory, self._layout)
        token = Token(due.directory, due.name, place)
        try:
            record = self._tokens.read(token)
        except JobCorrupt as error:
            self._settler.set_aside(token.path, str(error), now)
            return
        if record is not None:
            with suppress(Denied):
                self._publisher.replace(token, name, record, now)

    def _take_in(self, now: float, elapsed: float) -> None:
        self._fs.check_root()
        self._next_inbox = elapsed + _INBOX
        self._inbox.take_in(now, self._disk_time())

    def _look_in(self) -> None:
        """Take in what was dropped by hand, before anything is told about jobs."""
        self._fs.check_root()
        if self._inbox.holds_any():
            self._take_in(self._now(), self._clock.elapsed())

    def finish_job(self, id: Any, retries: int, result: JSON = None, *, exit: JSON = None) -> bool:
        check_json(result, "result")
        outcome = Outcome(check_id(id), check_id(retries, "retries"), True, result, exit)
        return self._settle(outcome)

    def finish_jobs(self, outcomes: Iterable[Finished]) -> list[bool]:
        wanted = []
        for id_, retries, result, *exit_status in outcomes:
            check_json(result, "result")
            numbers = check_id(id_), check_id(retries, "retries")
            wanted.append(Outcome(*numbers, True, result, *exit_status))
        with self._lock:
            return self._settler.settle(wanted, self._now(), self.backoff)

    def fail_job(
        self,
        id: Any,
        retries: int,
        result: JSON = None,
        *,
        exit: JSON = None,
        final: bool = False,
        delay: float | None = None,
    ) -> bool:
        check_json(result, "result")
        seconds = None if delay is None else check_seconds(delay, "delay")
        numbers = check_id(id), check_id(retries, "retries")
        outcome = Outcome(*numbers, False, result, exit, final, seconds)
        return self._settle(outcome)

    def _settle(self, outcome: Outcome) -> bool:
        with self._lock:
            return self._settler.settle_one(outcome, self._now(), self.backoff)

    def retry_job(self, id: Any, retries: int, **options: Any) -> bool:
        with self._lock:
            self._look_in()
            return self._settler.retry(
                check_id(id), check_id(retries, "retries"), options, self._now()
            )

    def release_job(self, id: Any, retries: int) -> bool:
        numbers = check_id(id), check_id(retries, "retries")
        with self._lock:
            # If the disk refuses now, a heartbeat gives it back.
            self._told.pop(numbers[0], None)
            return self._settler.release_claim(*numbers, self._now())

    def edit_job(self, id: Any, retries: int, **options: Any) -> bool:
        if "parents" in options:
            # An iterator would be empty when the job is looked at a second time.
            options["parents"] = check_parents(options["parents"])
        with self._lock:
            self._look_in()
            return self._settler.edit(
                check_id(id), check_id(retries, "retries"), options, self._now()
            )

    def hold_job(self, id: Any) -> bool:
        with self._lock:
            self._look_in()
            return self._settler.hold(check_id(id), self._now())

    def unhold_job(self, id: Any) -> bool:
        with self._lock:
            self._look_in()
            return self._settler.unhold(check_id(id), self._now())

    def remove_job(self, id: Any) -> bool:
        with self._lock:
            self._look_in()
            return self._settler.remove(check_id(id), self._now())

    def note(self, id: Any, merge: Mapping[str, JSON]) -> bool:
        notes = check_object(merge, "notes")
        with self._lock:
            return self._settler.note(check_id(id), notes, self._now())

    def holder_of(self, key: str) -> int | None:
        with self._lock:
            self._look_in()
            mark = self._uniques.holder(asked.string(key, "key"), self._now())
            return None if mark is None else mark.id

    def blocked_at(self, id: Any) -> dict[str, JSON] | None:
        with self._lock:
            found = self._catalog.find(check_id(id))
            record = self._settler.read(found) if found and found.state == "inactive" else None
            if record is None or not is_gated(record):
                return None
            return self._gates.describe(record, self._now())

    # -- listing ---------------------------------------------------------------------------------

    def list_jobs(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        notes: Iterable[str] | None = None,
        queues: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
    ) -> Page:
        asked.check_page(offset, limit)
        wanted = Filter(
            states=asked.states(states),
            ids=None if ids is None else set(asked.ids(ids, "ids")),
            notes=None if notes is None else set(asked.strings(notes, "notes")),
            queues=None if queues is None else set(asked.strings(queues, "queues")),
            tasks=None if tasks is None else set(asked.strings(tasks, "tasks")),
            before=None if before is None else check_id(before, "before"),
        )
        with self._lock:
            self._look_in()
            now = self._now()
            rows = list(islice(self._matching(wanted, now), offset, offset + limit))
            # One listing a bucket instead of one a job: few jobs have children.
            parents = set(self._families.with_children([found.name.id for found, _ in rows]))
            infos = [
                info
                for found, record in rows
                if (info := self._info(found, record, now, found.name.id in parents))
            ]
        return Page("jobs", infos, lambda: self._count(wanted, now))

    def _matching(self, wanted: Filter, now: float) -> Iterator[tuple[Found, Record | None]]:
        """Jobs that pass a filter, newest first, with their content if it had to be read."""
        for found in self._candidates(wanted):
            if found.expired(now) or not wanted.may_be(found):
                continue
            if not wanted.asks_content(found):
                yield found, None
                continue
            record = self._settler.read(found)
            if record is not None and wanted.accepts(record):
                yield found, record

    def _candidates(self, wanted: Filter) -> Iterator[Found]:
        if wanted.ids is not None:
            for id_ in sorted(wanted.ids, reverse=True):
                found = self._catalog.find(id_)
                if found and found.state in wanted.states:
                    yield found
            return
        queues = wanted.queues and {names.encode(queue) for queue in wanted.queues}
        yield from self._catalog.walk(wanted.states, wanted.before, queues)

    def _count(self, wanted: Filter, now: float) -> int:
        """How many jobs pass a filter: from the census where names and places can tell."""
        with self._lock:
            if wanted.only_states() or (wanted.only_queues() and wanted.states <= _INACTIVE):
                queues = wanted.queues and {names.encode(queue) for queue in wanted.queues}
                return sum(self._count_state(state, now, queues) for state in wanted.states)
            return sum(1 for _ in self._matching(wanted, now))

    def _count_state(self, state: State, now: float, queues: set[str] | None) -> int:
        if state == "inactive":
            return self._census.count_inactive(now, queues)[0]
        if state == "active":
            return sum(1 for _ in self._catalog.active())
        return self._census.count(state)

    def _info(
        self, found: Found, record: Record | None, now: float, has_children: bool
    ) -> JobInfo | None:
        """A job as callers see it; None when it has just gone."""
        if record is None:
            record = self._settler.read(found)
        while record is None:
            again = self._catalog.find(found.name.id)
            if again is None or again.token == found.token:
                return None  # gone, or it cannot be read
            # RACE: it moved on after it was listed, and may do so again.
            found, record = again, self._settler.read(again)
        return JobInfo(
            id=record["id"],
            task=record["task"],
            args=record["args"],
            state=found.state,
            queue=record["queue"],
            priority=record["priority"],
            attempts=record["attempts"],
            retries=record["retries"],
            created=record["created"],
            delayed=record["delayed"],
            expires=record["expires"],
            started=record["started"],
            finished=record["finished"],
            retried=record["retried"],
            lax=record["lax"],
            parents=record["parents"],
            children=self._families.children(record["id"]) if has_children else [],
            notes=record["notes"],
            result=record["result"],
            worker=record["worker"],
            time=now,
            kwargs=record["kwargs"],
            timeout=record["timeout"],
            exit=record["exit"],
            history=record["history"],
            unique=record.get("unique"),
            limits=record.get("limits", []),
            held=found.token.place.kind == "held",
        )

    # -- workers ---------------------------------------------------------------------------------

    def register_worker(
        self, worker_id: int | None = None, *, status: Mapping[str, JSON] | None = None
    ) -> int:
        said = None if status is None else check_object(status, "status")
        with self._lock:
            id_ = None if worker_id is None else check_id(worker_id, "worker id")
            id_ = self._registry.register(id_, said, self._now())
            if worker_id is None:
                self._entered.add(id_)
            elif id_ in self._entered:
                with suppress(SpoolUnavailable):  # it has beaten: the rest can wait for the next
                    self._give_back_unknown(id_, self._now())
            return id_

    def _give_back_unknown(self, worker_id: int, now: float) -> None:
        """Make jobs inactive again that this worker claimed and no caller was told of.

        The disk refused what comes after the claim; or a server executed a claim that its client
        had given up, or had taken for lost. Nobody would run such a job, or ever end it, for as
        long as the worker lives. It has to be found by two heartbeats.
        """
        worker = self._registry.directory(worker_id)
        if worker is None:
            return
        self._fs.touch_directory(f"{self._layout.active}/{worker}")
        there = {found.name.id: found for found in self._catalog.of_worker(worker)}
        if len(self._told) > _TOLD:
            others = {id_: claim for id_, claim in self._told.items() if claim[0] != worker}
            self._told = others | {id_: self._told[id_] for id_ in there if id_ in self._told}
        unknown = {
            id_: (worker, found.name.epoch)
            for id_, found in there.items()
            if self._told.get(id_) != (worker, found.name.epoch)
        }
        before, self._unknown = self._unknown, {**self._unknown, worker: unknown}
        for id_, claim in unknown.items():
            if before.get(worker, {}).get(id_) == claim:
                record = self._settler.read(there[id_])
                if record is not None:
                    self._settler.give_back(there[id_], record, now)

    def unregister_worker(self, worker_id: int) -> None:
        with self._lock:
            self._entered.discard(worker_id)
            self._registry.unregister(check_id(worker_id, "worker id"))

    def list_workers(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
    ) -> Page:
        asked.check_page(offset, limit)
        wanted = None if ids is None else set(asked.ids(ids, "worker ids"))
        with self._lock:
            entries = [
                entry
                for entry in self._registry.entries()
                if (wanted is None or entry.id in wanted) and (before is None or entry.id < before)
            ]
            found = [self._registry.info(entry) for entry in entries[offset : offset + limit]]
        return Page("workers", [info for info in found if info], lambda: len(entries))

    def broadcast(self, command: str, args: Sequence[JSON] = (), ids: Iterable[Any] = ()) -> bool:
        if not isinstance(command, str):
            raise InvalidType(f"command must be a string, not {command!r:.40}")
        if isinstance(args, str | bytes | Mapping) or not isinstance(args, Sequence):
            raise InvalidType(f"args must be a list, not {args!r:.40}")
        check_json(list(args), "args")
        wanted = asked.ids(ids, "worker ids")
        with self._lock:
            return self._registry.broadcast(command, list(args), wanted, self._now())

    def receive(self, worker_id: int) -> list[list[JSON]]:
        with self._lock:
            return self._registry.receive(check_id(worker_id, "worker id"))

    def unread(self, worker_id: int) -> int:
        with self._lock:
            return self._registry.unread(check_id(worker_id, "worker id"))

    # -- locks -----------------------------------------------------------------------------------

    def acquire_lock(
        self, name: str, duration: float, *, limit: int = 1, worker: int | None = None
    ) -> int | None:
        seconds = check_seconds(duration, "duration")
        if type(limit) is not int:
            raise InvalidType(f"limit must be an integer, not {limit!r:.40}")
        with self._lock:
            return self._locks.acquire(
                asked.string(name, "name"), seconds, limit, worker, self._now()
            )

    def renew_lock(self, name: str, id: int, duration: float) -> bool:
        seconds = check_seconds(duration, "duration")
        with self._lock:
            return self._locks.renew(asked.string(name, "name"), check_id(id), seconds, self._now())

    def unlock(self, name: str, *, id: int | None = None) -> bool:
        with self._lock:
            return self._locks.release(asked.string(name, "name"), id, self._now())

    def list_locks(
        self, offset: int = 0, limit: int = 100, *, names: Iterable[str] | None = None
    ) -> Page:
        asked.check_page(offset, limit)
        wanted = None if names is None else asked.strings(names, "names")
        with self._lock:
            found = self._locks.listed(wanted, self._now())
        return Page("locks", found[offset : offset + limit], lambda: len(found))

    # -- schedules -------------------------------------------------------------------------------

    def schedule(
        self, name: str, cron: str, task: str, args: Sequence[JSON] = (), **options: Any
    ) -> int:
        with self._lock:
            now = self._now()
            made = new_schedule(name, cron, task, args, now, **options)
            # As it will be read: tuples are lists, and the caller's objects stay his.
            new: Record = records.parse(records.encode_json(made, "schedule"))

            def put(old: Record | None) -> Record:
                return new if old is None else replaced(old, new, now)

            return self._schedules.put(name, put, now)

    def unschedule(self, name: str) -> bool:
        with self._lock:
            return self._schedules.remove(check_name(name))

    def pause_schedule(self, name: str) -> bool:
        return self._set_paused(name, paused=True)

    def resume_schedule(self, name: str) -> bool:
        return self._set_paused(name, paused=False)

    def _set_paused(self, name: str, *, paused: bool) -> bool:
        with self._lock:
            return self._schedules.alter(
                check_name(name), lambda record: {**record, "paused": paused}, self._now()
            )

    def dispatch_schedules(self, interval: float = DISPATCH_INTERVAL) -> list[dict[str, JSON]]:
        seconds = check_seconds(interval, "interval")
        with self._lock:
            self._fs.check_root()
            fired = self._schedules.dispatch(self._now(), seconds, _warn)
        return [{"id": id_, "name": name, "job": job} for id_, name, job in fired]

    def list_schedules(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        names: Iterable[str] | None = None,
    ) -> Page:
        asked.check_page(offset, limit)
        bound = None if before is None else check_id(before, "before")
        of_ids = None if ids is None else set(asked.ids(ids, "ids"))
        of_names = None if names is None else set(asked.strings(names, "names"))
        with self._lock:
            found = [
                record
                for record in self._schedules.listed()
                if (bound is None or record["id"] < bound)
                and (of_ids is None or record["id"] in of_ids)
                and (of_names is None or record["name"] in of_names)
            ]
        found.sort(key=lambda record: int(record["id"]), reverse=True)
        rows = [schedule_info(copied(record)) for record in found[offset : offset + limit]]
        return Page("schedules", rows, lambda: len(found))

    def broken_schedules(self) -> list[Broken]:
        """Schedules that cannot be read: they neither fire nor are listed."""
        with self._lock:
            return list(self._schedules.broken())

    def until_dispatch(self) -> float | None:
        with self._lock:
            at = self._schedules.next_run()
            return None if at is None else at - self._now()

    # -- upkeep ----------------------------------------------------------------------------------

    def repair(self) -> None:
        with self._lock:
            self._take_in(self._now(), self._clock.elapsed())
            self._repairer.run(
                self._now(),
                self.backoff,
                missing_after=self.missing_after,
                remove_after=self.remove_after,
                stuck_after=self.stuck_after,
            )
            self._fs.make_ballast(roots.ballast_size(self._fs, self.settings))

    def attend(self) -> None:
        self._registry.watch(self._clock.elapsed)

    def rescue(self) -> bool:
        with self._lock:
            return self._repairer.rescue(self._now(), self.backoff, self.missing_after)

    def doorbell(self, queues: Sequence[str]) -> FileDoorbell:
        lanes = self._encoded(queues, "queues")

        def next_due() -> float | None:
            at = self._claimer.next_due(lanes)
            return None if at is None else max(0.0, at - self._now())

        with self._lock:
            return FileDoorbell(self._fs, self._layout, sorted(lanes), next_due)

    def watch_job(self, id: int, ring: Callable[[], None]) -> Callable[[], None] | None:
        return self._endings.watch(check_id(id), ring)

    def check_space(self) -> None:
        with self._lock:
            self._publisher.check_space()

    def reload(self) -> None:
        settings = roots.read_settings(self.root)
        with self._lock:
            self._publisher.low_water = roots.low_water(self._fs, settings)
            self.settings = settings
            self._follow_settings()
            self._fs.durable = self._durable

    def reset(self, *, all: bool = False, locks: bool = False) -> None:
        with self._lock:
            if all:
                # CRASH: without `reserve` the next opener completes the layout; repair sweeps
                # what workers have left that are not registered any more.
                self._reset("reserve")
                self._reset("workers", "commands", "inactive", "active", "finished", "failed")
                self._reset("settling", "places", "children", "locks", "logs", "incidents")
                self._reset("unique", "limits", "environments")
                self._fs.mkdir(self._layout.schedules)  # the spool may be older than schedules
                self._reset("schedules")
                self._reset("corrupt")
                self._reset("ids")  # when no job is left that has one
                roots.complete(self._fs)
                self._wire(self._layout)
                self._jobs.reopen()
            elif locks:
                self._reset("locks")
                roots.complete(self._fs)
                self._wire(self._layout)

    def _reset(self, *directories: str) -> None:
        """Move directories aside, whole, and delete them there."""
        there = [name for name in directories if self._fs.is_directory(f"{self.root}/{name}")]
        moved = {name: f"{self._layout.trash}/{name}.{names.nonce()}" for name in there}
        for name, gone in moved.items():
            self._fs.publish_directory(f"{self.root}/{name}", gone)
        # SYNC: none may come back, when the power fails, without what was in it.
        self._fs.sync_directory(self.root)
        for gone in moved.values():
            self._repairer.delete(gone)

    def set_queue(self, queue: str, **said: Any) -> bool:
        with self._lock:
            now = self._now()
            changed(NOTHING, now, **said)  # refuses before anything is made
            if not self._queues.change(check_queue(queue), lambda was: changed(was, now, **said)):
                return False
            encoded = names.encode(queue)
            self._publisher.forget_open()
            if self._queues.read(encoded).limit is not None:
                self._slots.tidy(encoded)
            # CRASH: dying before this, or refused by the disk: claimers notice within a second.
            self._publisher.bump(encoded)
            return True

    def controls(self) -> dict[str, Control]:
        with self._lock:
            said = self._queues.everything(self._catalog.queues())
            return {self._queue_name(queue): control for queue, control in said.items()}

    def stats(self) -> dict[str, JSON]:
        with self._lock:
            self._look_in()
            now = self._now()
            inactive, delayed = self._census.count_inactive(now)
            paused = [record["paused"] for record in self._schedules.listed()]
            performing = [found.token.place.key for found in self._catalog.active()]
            workers = len(self._registry.entries())
            busy = len(set(performing))
            return {
                "active_jobs": len(performing),
                "active_locks": self._locks.count(now),
                "active_workers": busy,
                "delayed_jobs": delayed,
                "enqueued_jobs": self._jobs.peek() - 1,
                "failed_jobs": self._census.count("failed"),
                "finished_jobs": self._census.count("finished"),
                "inactive_jobs": inactive,
                "inactive_schedules": sum(paused),
                "inactive_workers": workers - busy,
                "schedules": len(paused) - sum(paused),
                "uptime": max(0.0, now - self.created),
                "workers": workers,
            }

    def history(self) -> dict[str, JSON]:
        with self._lock:
            return {"daily": self._census.history(self._now())}

    def queues(self) -> dict[str, dict[str, int]]:
        with self._lock:
            self._look_in()
            counted = self._census.count_queues(self._now())
            return {
                self._queue_name(queue): views
                for queue, views in counted.items()
                if any(views.values())
            }

    def _queue_name(self, encoded: str) -> str:
        """A long name is not in its directory's name: one of its jobs tells."""
        name = names.decode(encoded)
        if name is None:
            name = self._queues.name(encoded)
        if name is not None:
            return name
        found = next(iter(self._catalog.walk(_INACTIVE, queues={encoded})), None)
        record = self._settler.read(found) if found else None
        return str(record["queue"]) if record else encoded

    def now(self) -> float:
        with self._lock:
            return self._now()

    def path_of(self, id: Any) -> str | None:
        """The file of a job as it is now; None when there is none."""
        with self._lock:
            found = self._catalog.find(check_id(id))
            return None if found is None else found.token.path


def _warn(message: str) -> None:
    import logging  # 10 ms, for who has something to say

    logging.getLogger("spoolq.schedules").warning("%s", message)


_UNIQUE: Final = frozenset({"unique", "unique_while", "unique_for", "replace", "on_conflict"})
_KINDS_NOT_DONE: Final = frozenset({"ready", "delayed", "waiting", "held", "active"})


def _after_fork(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call a method in every forked child, as long as its object lives."""

    def call() -> None:
        bound = method()
        if bound:
            bound()

    os.register_at_fork(after_in_child=call)


def _request(job: str | Sequence[Any]) -> dict[str, Any]:
    """The members of a record that differ within a batch."""
    parts: Sequence[Any] = (job,) if isinstance(job, str) else job
    if isinstance(parts, Mapping) or not isinstance(parts, Sequence) or not 1 <= len(parts) <= 3:
        raise InvalidType(f"a job is (task, args, kwargs), not {job!r:.60}")
    args = parts[1] if len(parts) > 1 else []
    kwargs = parts[2] if len(parts) > 2 else None
    record = new_record(parts[0], args, kwargs, 0.0)
    return {
        "task": record["task"],
        "args": record["args"],
        "kwargs": record["kwargs"],
    }


def _delayed_place(directory: str, layout: Layout) -> Place:
    queue, kind, hour, *_ = directory.removeprefix(f"{layout.inactive}/").split("/")
    return Place(kind, queue, hour)


def _first(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given
