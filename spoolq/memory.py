"""The storage contract in dicts under one lock, gone with its process.

It is the reference: short enough to be checked by reading, and what the property tests hold the
file backend against. It is also what `Spool("memory:")` runs on.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final

from spoolq import asked
from spoolq.backend import Backend, Doorbell, Finished
from spoolq.bell import Bell
from spoolq.claimed import claimed
from spoolq.clock import Clock, SystemClock
from spoolq.control import NOTHING, Control, changed, check_open, check_room
from spoolq.errors import DuplicateJob, InvalidType, InvalidValue, QueueClosed, QueueFull
from spoolq.gates import (
    Gate,
    Mark,
    described,
    holds,
    key_of,
    limits_of,
    mark_of,
    refuse_unique,
    running_key_of,
)
from spoolq.model import (
    FOREGROUND_QUEUE,
    JSON,
    MISSING_AFTER,
    REMOVE_AFTER,
    STATES,
    STUCK,
    STUCK_AFTER,
    WORKER_GONE,
    Claimed,
    JobInfo,
    LockInfo,
    Page,
    State,
    WorkerInfo,
)
from spoolq.schedules import (
    DISPATCH_INTERVAL,
    check_name,
    fire,
    is_due,
    job_of,
    new_schedule,
    replaced,
)
from spoolq.schedules import info as schedule_info
from spoolq.states import WAYS
from spoolq.transitions import (
    REMOVABLE,
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
    edited,
    expired,
    failed,
    finished,
    new_record,
    noted,
    parent_blocks,
    retried,
    stuck,
)

_BLANK: Final = new_record("-", [], None, 0.0)
LOOK_EVERY: Final = 0.01  # seconds between two looks of a waiting dequeue
HOUR: Final = 3600
_EVER: Final = float("inf")


@dataclass(slots=True)
class _Job:
    state: State
    record: Record
    before: tuple[JSON, JSON] = (None, None)
    """`started` and `worker` before it was claimed."""
    held: bool = False


@dataclass(frozen=True, slots=True)
class _Hold:
    id: int
    name: str
    expires: float
    worker: int | None


class MemoryBackend(Backend):
    """Jobs, workers and locks of one process, in its memory. Safe to use from several threads."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        missing_after: float = MISSING_AFTER,
        remove_after: float = REMOVE_AFTER,
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        super().__init__(
            backoff=backoff,
            missing_after=missing_after,
            remove_after=remove_after,
            stuck_after=stuck_after,
        )
        self._clock = clock or SystemClock()
        self._created = self._clock.wall()
        # Reentrant, because a backoff callback may look into the backend that asks it.
        self._lock = threading.RLock()
        self._bells: list[MemoryDoorbell | _Waiting] = []
        self._forget()

    def _forget(self) -> None:
        self._jobs: dict[int, _Job] = {}
        self._workers: dict[int, WorkerInfo] = {}
        self._inboxes: dict[int, list[list[JSON]]] = {}
        self._holds: dict[int, _Hold] = {}
        self._marks: dict[Gate, Mark] = {}
        self._starts: dict[str, list[tuple[float, int, int]]] = {}
        self._schedules: dict[str, Record] = {}
        self._last_job = self._last_worker = self._last_hold = self._last_schedule = 0
        self._controls: dict[str, Control] = {}

    # -- jobs ------------------------------------------------------------------------------------

    def enqueue(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        *,
        attempts: int = 1,
        delay: float = 0,
        expire: float | None = None,
        lax: bool = False,
        notes: Mapping[str, JSON] | None = None,
        parents: Iterable[Any] = (),
        priority: int = 0,
        queue: str = "default",
        timeout: float | None = None,
        unique: str | bool | None = None,
        unique_while: str | None = None,
        unique_for: float | None = None,
        replace: bool = False,
        concurrency: Sequence[Any] | None = None,
        rate: Sequence[Any] | None = None,
        hold: bool = False,
    ) -> int:
        record = self._new_record(
            task,
            args,
            kwargs,
            attempts=attempts,
            delay=delay,
            expire=expire,
            lax=lax,
            notes=notes,
            parents=parents,
            priority=priority,
            queue=queue,
            timeout=timeout,
            unique=unique,
            unique_while=unique_while,
            unique_for=unique_for,
            concurrency=concurrency,
            rate=rate,
        )
        hold = check_flag(hold, "hold")
        with self._lock:
            self._admit([record])
            replaces = self._make_way(record, replace=replace) if "unique" in record else ()
            job_id = self._store(record, hold=hold)
            if "unique" in record:
                self._marks[key_of(record)] = mark_of({**record, "id": job_id}, "m", replaces)
            return job_id

    def enqueue_many(
        self, jobs: Iterable[str | Sequence[Any]], *, hold: bool = False, **options: Any
    ) -> list[int]:
        hold = check_flag(hold, "hold")
        if "parents" in options:
            # An iterator would be empty after the first job.
            options["parents"] = check_parents(options["parents"])
        refuse_unique(options)
        records = [self._new_record(*_call(job), **options) for job in jobs]
        with self._lock:
            self._admit(records)
            return [self._store(record, hold=hold) for record in records]

    def _admit(self, records: Sequence[Record]) -> None:
        for queue in dict.fromkeys(record["queue"] for record in records):
            control = self._controls.get(queue, NOTHING)
            check_open(control, queue)
            if control.max_waiting is not None:
                views = self.queues().get(queue, {})
                check_room(control, queue, sum(views.values()), len(records))

    def _new_record(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        **options: Any,
    ) -> Record:
        record = new_record(task, args, kwargs, self._clock.wall(), **options)
        for name in ("args", "kwargs", "notes"):
            record[name] = _from_json(record[name], name)
        return record

    def _store(self, record: Record, *, hold: bool) -> int:
        self._last_job += 1
        record = {**record, "id": self._last_job}
        self._jobs[self._last_job] = _Job("inactive", record, held=hold)
        self._ring()
        return self._last_job

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
        worker = check_id(worker_id, "worker")
        only = None if id is None else check_id(id)
        least = None if min_priority is None else check_priority(min_priority)
        from_queues, of_tasks = (
            frozenset(asked.strings(queues, "queues")),
            asked.some_strings(tasks, "tasks"),
        )

        def wanted(record: Record) -> bool:
            return (
                (only is None or record["id"] == only)
                and (least is None or record["priority"] >= least)
                and record["queue"] in from_queues
                and (of_tasks is None or record["task"] in of_tasks)
            )

        deadline = self._clock.elapsed() + check_seconds(wait, "wait")
        while True:
            with self._lock:
                if worker not in self._workers:
                    return None
                if job := self._best(wanted):
                    return self._claim(job, worker)
            left = deadline - self._clock.elapsed()
            if left <= 0:
                return None
            self._clock.sleep(min(left, LOOK_EVERY))

    def _best(self, wanted: Callable[[Record], bool]) -> _Job | None:
        now = self._clock.wall()
        ready = (
            job
            for job in self._jobs.values()
            if job.state == "inactive"
            and not job.held
            and wanted(job.record)
            and self._may_start(job.record["queue"])
            and job.record["delayed"] <= now
            and not expired(job.record, now)
            and not self._blocked(job.record, now)
            and self._gate(job.record, now) is None
        )
        return min(ready, key=lambda job: (-job.record["priority"], job.record["id"]), default=None)

    def _may_start(self, queue: str) -> bool:
        control = self._controls.get(queue, NOTHING)
        if control.paused is not None:
            return False
        running = (
            job
            for job in self._jobs.values()
            if job.state == "active" and job.record["queue"] == queue
        )
        return control.limit is None or sum(1 for _ in running) < control.limit

    def _blocked(self, record: Record, now: float) -> bool:
        parents = map(self._jobs.get, record["parents"])
        return any(
            parent_blocks(parent.state, lax=record["lax"])
            for parent in parents
            if parent is not None and not _gone(parent, now)
        )

    def _claim(self, job: _Job, worker: int) -> Claimed:
        job.state = "active"
        job.before = (job.record["started"], job.record["worker"])
        job.record = {**job.record, "started": self._clock.wall(), "worker": worker}
        self._pass_gates(job.record)
        return claimed(job.record)

    def finish_job(self, id: Any, retries: int, result: JSON = None, *, exit: JSON = None) -> bool:
        job_id, ended = check_id(id), (_from_json(result, "result"), _from_json(exit, "exit"))
        with self._lock:
            return self._finish(job_id, retries, *ended)

    def finish_jobs(self, outcomes: Iterable[Finished]) -> list[bool]:
        checked = [
            (check_id(job_id), retries, _from_json(result, "result"), *exit_status)
            for job_id, retries, result, *exit_status in outcomes
        ]
        with self._lock:
            return [self._finish(*outcome) for outcome in checked]

    def _finish(self, job_id: int, retries: int, result: JSON, exit_status: JSON = None) -> bool:
        job = self._running(job_id, retries)
        if job is None:
            return False
        job.record = finished(job.record, result, self._clock.wall(), exit_status)
        job.state = "finished"
        self._ring()
        return True

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
        job_id, ended = check_id(id), (_from_json(result, "result"), _from_json(exit, "exit"))
        seconds = None if delay is None else check_seconds(delay, "delay")
        with self._lock:
            job = self._running(job_id, retries)
            if job is None:
                return False
            self._fail(job, *ended, final=final, delay=seconds)
            return True

    def _fail(
        self,
        job: _Job,
        result: JSON,
        exit_status: JSON = None,
        *,
        final: bool = False,
        delay: float | None = None,
    ) -> None:
        now = self._clock.wall()
        job.state, job.record = failed(
            job.record, result, now, self.backoff, exit_status, final=final, delay=delay
        )
        self._ring()

    def _running(self, job_id: int, retries: int) -> _Job | None:
        job = self._jobs.get(job_id)
        if job is None or job.state != "active" or job.record["retries"] != retries:
            return None
        return job

    def retry_job(self, id: Any, retries: int, **options: Any) -> bool:
        job_id = check_id(id)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return False
            record = retried(job.record, self._clock.wall(), options)
            if job.record["retries"] != retries:
                return False
            if "unique" in record and job.state in ("finished", "failed"):
                self._hold_again(record)
            job.state, job.record, job.held = "inactive", record, False
            self._ring()
            return True

    def edit_job(self, id: Any, retries: int, **options: Any) -> bool:
        job_id, attempt = check_id(id), check_id(retries, "retries")
        if "parents" in options:
            options["parents"] = check_parents(options["parents"])  # an iterator is read once
        edited(_BLANK, 0.0, options)  # refuses before anything is looked at
        for name in options.keys() & {"args", "kwargs", "notes"}:
            options[name] = _from_json(options[name], name)
        with self._lock:
            job, now = self._jobs.get(job_id), self._clock.wall()
            if job is None or job.state == "active" or _gone(job, now):
                return False
            if job.record["retries"] != attempt:
                return False
            job.record = edited(job.record, now, options)
            self._ring()
            return True

    def hold_job(self, id: Any) -> bool:
        job_id = check_id(id)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state != "inactive" or _gone(job, self._clock.wall()):
                return False
            job.held = True
            return True

    def unhold_job(self, id: Any) -> bool:
        job_id = check_id(id)
        with self._lock:
            job, now = self._jobs.get(job_id), self._clock.wall()
            if job is None or not job.held or _gone(job, now):
                return False
            job.held = False
            job.record = {**job.record, "delayed": max(job.record["delayed"], now)}
            self._ring()
            return True

    def release_job(self, id: Any, retries: int) -> bool:
        job_id, attempt = check_id(id), check_id(retries, "retries")
        with self._lock:
            job = self._running(job_id, attempt)
            if job is None:
                return False
            started, worker = job.before
            # It was due when it was claimed: a clock set back does not make it wait again.
            due = min(job.record["delayed"], self._clock.wall())
            given_back = {"started": started, "worker": worker, "delayed": due}
            self._take_back(job.record)
            job.state, job.record = "inactive", {**job.record, **given_back}
            self._ring()
            return True

    def remove_job(self, id: Any) -> bool:
        job_id = check_id(id)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state not in REMOVABLE:
                return False
            del self._jobs[job_id]
            self._marks = {key: mark for key, mark in self._marks.items() if mark.id != job_id}
            self._ring()
            return True

    def note(self, id: Any, merge: Mapping[str, JSON]) -> bool:
        job_id, merge = check_id(id), _from_json(check_object(merge, "notes"), "notes")
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return False
            job.record = noted(job.record, merge)
            return True

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
        of_ids = _id_filter(before, ids)
        keys, of_states = asked.some_strings(notes, "notes"), asked.states(states)
        in_queues = asked.some_strings(queues, "queues")
        of_tasks = asked.some_strings(tasks, "tasks")

        def matches(job: _Job, now: float) -> bool:
            record = job.record
            return (
                of_ids(record["id"])
                and not _gone(job, now)
                and job.state in of_states
                and (in_queues is None or record["queue"] in in_queues)
                and (of_tasks is None or record["task"] in of_tasks)
                and (keys is None or not keys.isdisjoint(record["notes"]))
            )

        def newest_first(now: float) -> Iterator[_Job]:
            return (job for _, job in sorted(self._jobs.items(), reverse=True) if matches(job, now))

        def count() -> int:
            with self._lock:
                return sum(1 for _ in newest_first(self._clock.wall()))

        with self._lock:
            now = self._clock.wall()
            page = islice(newest_first(now), offset, offset + limit)
            children = self._children()
            return Page("jobs", [_info(job, children, now) for job in page], count)

    def _children(self) -> dict[int, list[int]]:
        children: dict[int, list[int]] = {}
        for job_id, job in sorted(self._jobs.items()):
            for parent in set(job.record["parents"]):
                children.setdefault(parent, []).append(job_id)
        return children

    # -- gates -----------------------------------------------------------------------------------

    def holder_of(self, key: str) -> int | None:
        with self._lock:
            mark = self._holder(Gate("unique", key), self._clock.wall())
            return None if mark is None else mark.id

    def blocked_at(self, id: Any) -> dict[str, JSON] | None:
        with self._lock:
            now, job = self._clock.wall(), self._jobs.get(check_id(id))
            if job is None or job.state != "inactive":
                return None
            gate = self._gate(job.record, now)
            if gate is None:
                return None
            if gate.kind == "rate":
                started = self._started(gate, now)
                return described(gate, until=min(until for until, *_ in started))
            if gate.kind == "concurrency":
                return described(gate, sorted(self._running_at(gate)))
            mark = self._marks[gate]
            ids = mark.replaces if mark.id == job.record["id"] else (mark.id,)
            return described(gate, list(ids))

    def _holder(self, key: Gate, now: float) -> Mark | None:
        mark = self._marks.get(key)
        return mark if mark and holds(mark, self._state(mark.id, now), now) else None

    def _state(self, job_id: int, now: float) -> State | None:
        job = self._jobs.get(job_id)
        return None if job is None or _gone(job, now) else job.state

    def _make_way(self, record: Record, *, replace: bool) -> tuple[int, ...]:
        """Raise for a duplicate, or remove it; the jobs that still run and have to end first."""
        now = self._clock.wall()
        mark = self._holder(key_of(record), now)
        if mark is None:
            return ()
        if not replace:
            raise DuplicateJob(mark.id, record["unique"]["key"])
        older = (mark.id, *mark.replaces)
        for job_id in older:
            if self._state(job_id, now) == "inactive":
                del self._jobs[job_id]
        return tuple(job_id for job_id in older if self._state(job_id, now) == "active")

    def _hold_again(self, record: Record) -> None:
        """A job that has ended is to run again. Raises DuplicateJob."""
        key = key_of(record)
        mark = self._holder(key, self._clock.wall())
        if record["unique"]["mode"] == "period":
            return
        if mark is not None and mark.id != record["id"]:
            raise DuplicateJob(mark.id, key.key)
        self._marks[key] = mark_of(record, "m")

    def _gate(self, record: Record, now: float) -> Gate | None:
        """The first gate that this job cannot pass now."""
        running = running_key_of(record)
        if running is not None:
            mark = self._holder(running, now)
            if mark and mark.id != record["id"]:
                return running
            if mark and any(self._state(other, now) == "active" for other in mark.replaces):
                return running
        for gate in limits_of(record):
            taken = self._started(gate, now) if gate.kind == "rate" else self._running_at(gate)
            if len(taken) >= gate.limit:
                return gate
        return None

    def _running_at(self, gate: Gate) -> list[int]:
        return [
            job_id
            for job_id, job in self._jobs.items()
            if job.state == "active" and gate[:2] in [tuple(g[:2]) for g in limits_of(job.record)]
        ]

    def _started(self, gate: Gate, now: float) -> list[tuple[float, int, int]]:
        started = [start for start in self._starts.get(gate.name, ()) if start[0] > now]
        self._starts[gate.name] = started
        return started

    def _pass_gates(self, record: Record) -> None:
        """Take what the job that has just been claimed needs to run."""
        running, now = running_key_of(record), self._clock.wall()
        if running is not None:
            mark = self._marks.get(running)
            if mark and mark.id == record["id"]:
                for job_id in mark.replaces:
                    if self._state(job_id, now) == "inactive":
                        del self._jobs[job_id]
            self._marks[running] = Mark(record["id"], "m")
        for gate in limits_of(record):
            if gate.period is not None:
                start = (now + gate.period, record["id"], record["retries"])
                self._started(gate, now).append(start)

    def _take_back(self, record: Record) -> None:
        """A claim is given back: it has not started."""
        for starts in self._starts.values():
            starts[:] = [
                start for start in starts if start[1:] != (record["id"], record["retries"])
            ]

    # -- workers ---------------------------------------------------------------------------------

    def register_worker(
        self, worker_id: int | None = None, *, status: Mapping[str, JSON] | None = None
    ) -> int:
        kept = None if worker_id is None else check_id(worker_id, "worker")
        if status is not None:
            status = _from_json(check_object(status, "status"), "status")
        with self._lock:
            number = self._last_worker + 1 if kept is None else kept
            self._last_worker = max(number, self._last_worker)
            worker = self._workers.get(number) or self._new_worker(number)
            worker = replace(worker, notified=self._clock.wall())
            if status is not None:
                worker = replace(worker, status=dict(status))
            self._workers[number] = worker
            return number

    def _new_worker(self, number: int) -> WorkerInfo:
        now = self._clock.wall()
        self._inboxes[number] = []
        return WorkerInfo(
            id=number,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=now,
            notified=now,
            status={},
            jobs=[],
        )

    def unregister_worker(self, worker_id: int) -> None:
        worker = check_id(worker_id, "worker")
        with self._lock:
            self._workers.pop(worker, None)
            self._inboxes.pop(worker, None)

    def list_workers(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
    ) -> Page:
        asked.check_page(offset, limit)
        of_ids = _id_filter(before, ids)

        def newest_first() -> list[int]:
            return [worker for worker in sorted(self._workers, reverse=True) if of_ids(worker)]

        def count() -> int:
            with self._lock:
                return len(newest_first())

        with self._lock:
            page = newest_first()[offset : offset + limit]
            return Page("workers", [self._worker_info(worker) for worker in page], count)

    def _worker_info(self, number: int) -> WorkerInfo:
        performs = sorted(job_id for job_id, worker in self._active() if worker == number)
        worker = self._workers[number]
        return replace(worker, status=copy.deepcopy(worker.status), jobs=performs)

    def _active(self) -> Iterator[tuple[int, int]]:
        for job_id, job in self._jobs.items():
            if job.state == "active":
                yield job_id, job.record["worker"]

    def broadcast(self, command: str, args: Sequence[JSON] = (), ids: Iterable[Any] = ()) -> bool:
        asked.string(command, "command")
        if isinstance(args, str | bytes | Mapping) or not isinstance(args, Sequence):
            raise InvalidType(f"args must be a list of JSON values, not {type(args).__name__}")
        message = [command, *_from_json(list(args), "args")]
        wanted = set(asked.ids(ids))
        with self._lock:
            reached = wanted & self._workers.keys() if wanted else self._workers.keys()
            for worker in reached:
                self._inboxes[worker].append(copy.deepcopy(message))
            return bool(reached)

    def receive(self, worker_id: int) -> list[list[JSON]]:
        worker = check_id(worker_id, "worker")
        with self._lock:
            if worker not in self._workers:
                return []
            messages, self._inboxes[worker] = self._inboxes[worker], []
            return messages

    def unread(self, worker_id: int) -> int:
        with self._lock:
            return len(self._inboxes.get(check_id(worker_id, "worker"), ()))

    # -- locks -----------------------------------------------------------------------------------

    def acquire_lock(
        self, name: str, duration: float, *, limit: int = 1, worker: int | None = None
    ) -> int | None:
        asked.string(name, "lock")
        seconds, most = check_seconds(duration, "duration"), max(asked.natural(limit, "limit"), 1)
        owner = None if worker is None else check_id(worker, "worker")
        with self._lock:
            now = self._clock.wall()
            if len(self._held(name, now)) >= most:
                return None
            if seconds <= 0:
                return 0
            self._last_hold += 1
            self._holds[self._last_hold] = _Hold(self._last_hold, name, now + seconds, owner)
            return self._last_hold

    def renew_lock(self, name: str, id: int, duration: float) -> bool:
        asked.string(name, "lock")
        seconds, wanted = check_seconds(duration, "duration"), check_id(id)
        with self._lock:
            now = self._clock.wall()
            mine = next((hold for hold in self._held(name, now) if hold.id == wanted), None)
            if mine is None:
                return False
            self._holds[mine.id] = _Hold(mine.id, name, now + seconds, mine.worker)
            return True

    def unlock(self, name: str, *, id: int | None = None) -> bool:
        asked.string(name, "lock")
        only = None if id is None else check_id(id)
        with self._lock:
            held = self._held(name, self._clock.wall())
            mine = [hold for hold in held if only is None or hold.id == only]
            if not mine:
                return False
            del self._holds[min(mine, key=lambda hold: (hold.expires, hold.id)).id]
            return True

    def list_locks(
        self, offset: int = 0, limit: int = 100, *, names: Iterable[str] | None = None
    ) -> Page:
        asked.check_page(offset, limit)
        wanted = asked.some_strings(names, "names")

        def newest_first() -> list[_Hold]:
            holds = self._holds_at(self._clock.wall())
            holds = [hold for hold in holds if wanted is None or hold.name in wanted]
            return sorted(holds, key=lambda hold: hold.id, reverse=True)

        def count() -> int:
            with self._lock:
                return len(newest_first())

        with self._lock:
            page = newest_first()[offset : offset + limit]
            rows = [LockInfo(id=hold.id, name=hold.name, expires=hold.expires) for hold in page]
            return Page("locks", rows, count)

    def _held(self, name: str, now: float) -> list[_Hold]:
        return [hold for hold in self._holds_at(now) if hold.name == name]

    def _holds_at(self, now: float) -> list[_Hold]:
        return [hold for hold in self._holds.values() if hold.expires > now]

    # -- schedules -------------------------------------------------------------------------------

    def schedule(
        self, name: str, cron: str, task: str, args: Sequence[JSON] = (), **options: Any
    ) -> int:
        for key in ("kwargs", "notes"):
            if options.get(key) is not None:
                options[key] = _from_json(check_object(options[key], key), key)
        with self._lock:
            now = self._clock.wall()
            new = new_schedule(name, cron, task, args, now, **options)
            new["args"] = _from_json(new["args"], "args")
            _from_json(name, "name")
            old = self._schedules.get(name)
            if old is None:
                self._last_schedule += 1
                new["id"] = self._last_schedule
            self._schedules[name] = new if old is None else replaced(old, new, now)
            self._ring()
            return int(self._schedules[name]["id"])

    def unschedule(self, name: str) -> bool:
        with self._lock:
            return self._schedules.pop(check_name(name), None) is not None

    def pause_schedule(self, name: str) -> bool:
        return self._set_paused(name, paused=True)

    def resume_schedule(self, name: str) -> bool:
        return self._set_paused(name, paused=False)

    def _set_paused(self, name: str, *, paused: bool) -> bool:
        with self._lock:
            record = self._schedules.get(check_name(name))
            if record is None:
                return False
            self._schedules[name] = {**record, "paused": paused}
            self._ring()
            return True

    def dispatch_schedules(self, interval: float = DISPATCH_INTERVAL) -> list[dict[str, JSON]]:
        seconds = check_seconds(interval, "interval")
        with self._lock:
            now = self._clock.wall()
            return [
                {"id": self._schedules[name]["id"], "name": name, "job": job}
                for name in list(self._schedules)
                for job in self._fire(name, now, seconds)
            ]

    def _fire(self, name: str, now: float, interval: float) -> Iterator[int]:
        while firing := fire(
            record := self._schedules[name], now, interval, partial(self._is_running, name, now)
        ):
            if firing.occurrence is not None:
                try:
                    self._admit([record])
                except (QueueClosed, QueueFull):
                    return  # it stays due
            self._schedules[name] = firing.after
            if firing.occurrence is not None:
                job = self._store(job_of(copy.deepcopy(record), now), hold=False)
                self._schedules[name]["last_job"] = job
                yield job

    def _is_running(self, name: str, now: float) -> bool:
        job = self._jobs.get(self._schedules[name]["last_job"] or 0)
        return job is not None and job.state in ("inactive", "active") and not _gone(job, now)

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
        of_ids, wanted = _id_filter(before, ids), asked.some_strings(names, "names")

        def newest_first() -> list[Record]:
            found = (
                record
                for name, record in self._schedules.items()
                if of_ids(record["id"]) and (wanted is None or name in wanted)
            )
            return sorted(found, key=lambda record: int(record["id"]), reverse=True)

        def count() -> int:
            with self._lock:
                return len(newest_first())

        with self._lock:
            page = newest_first()[offset : offset + limit]
            return Page("schedules", [schedule_info(copy.deepcopy(item)) for item in page], count)

    def until_dispatch(self) -> float | None:
        with self._lock:
            now = self._clock.wall()
            due = (r["next_run"] - now for r in self._schedules.values() if is_due(r, _EVER))
            return min(due, default=None)

    # -- upkeep ----------------------------------------------------------------------------------

    def repair(self) -> None:
        with self._lock:
            now = self._clock.wall()
            self._drop_missing_workers(now)
            self._release_orphaned_holds(now)
            self._drop_old_finished_jobs(now)
            self._drop_expired_jobs(now)
            self._fail_jobs_without_worker()
            self._fail_stuck_jobs(now)

    def _drop_missing_workers(self, now: float) -> None:
        for worker in list(self._workers.values()):
            if worker.notified + self.missing_after < now:
                self.unregister_worker(worker.id)

    def _release_orphaned_holds(self, now: float) -> None:
        self._holds = {
            hold.id: hold
            for hold in self._holds_at(now)
            if hold.worker is None or hold.worker in self._workers
        }

    def _drop_old_finished_jobs(self, now: float) -> None:
        # An expired child goes in this very repair; if it kept its parent, a second repair would
        # find more to do.
        needed = {
            parent
            for job in self._jobs.values()
            if job.state != "finished" and not _gone(job, now)
            for parent in job.record["parents"]
        }
        self._keep(
            lambda job: (
                job.state != "finished"
                or job.record["id"] in needed
                or job.record["finished"] + self.remove_after > now
            )
        )

    def _drop_expired_jobs(self, now: float) -> None:
        self._keep(lambda job: not _gone(job, now))

    def _keep(self, kept: Callable[[_Job], bool]) -> None:
        self._jobs = {key: job for key, job in self._jobs.items() if kept(job)}

    def _fail_jobs_without_worker(self) -> None:
        for job_id, worker in list(self._active()):
            job = self._jobs[job_id]
            if worker not in self._workers and job.record["queue"] != FOREGROUND_QUEUE:
                self._fail(job, WORKER_GONE)

    def _fail_stuck_jobs(self, now: float) -> None:
        # Again after each: a failed parent no longer holds back its lax children.
        while job := next(self._stuck(now), None):
            job.state, job.record = "failed", stuck(job.record, STUCK)

    def _stuck(self, now: float) -> Iterator[_Job]:
        return (
            job
            for job in self._jobs.values()
            if job.state == "inactive"
            and not job.held
            and job.record["delayed"] + self.stuck_after < now
            and not _gone(job, now)
            and not self._waits(job.record, now)
        )

    def reset(self, *, all: bool = False, locks: bool = False) -> None:
        with self._lock:
            if all:
                self._forget()
            elif locks:
                self._holds = {}

    def stats(self) -> dict[str, JSON]:
        with self._lock:
            now = self._clock.wall()
            jobs = [job for job in self._jobs.values() if not _gone(job, now)]
            busy = {worker for _, worker in self._active()}
            return {
                **{f"{state}_jobs": sum(job.state == state for job in jobs) for state in STATES},
                "active_locks": len(self._holds_at(now)),
                "active_workers": len(busy),
                "delayed_jobs": sum(self._delayed(job, now) for job in jobs),
                "enqueued_jobs": self._last_job,
                "inactive_schedules": sum(r["paused"] for r in self._schedules.values()),
                "inactive_workers": len(self._workers) - len(busy),
                "schedules": sum(not r["paused"] for r in self._schedules.values()),
                "uptime": now - self._created,
                "workers": len(self._workers),
            }

    def _delayed(self, job: _Job, now: float) -> bool:
        return job.state == "inactive" and (
            job.held or job.record["delayed"] > now or self._waits(job.record, now)
        )

    def _waits(self, record: Record, now: float) -> bool:
        return self._blocked(record, now) or self._gate(record, now) is not None

    def history(self) -> dict[str, JSON]:
        with self._lock:
            now = self._clock.wall()
            hours = [
                {"epoch": now - back * HOUR, "finished_jobs": 0, "failed_jobs": 0}
                for back in range(23, -1, -1)
            ]
            for job in self._jobs.values():
                ended = job.record["finished"]
                if job.state not in {"finished", "failed"} or ended is None:
                    continue
                if now - 23 * HOUR < ended <= now:
                    back = int(now // HOUR - ended // HOUR)
                    hours[23 - back][f"{job.state}_jobs"] += 1
            return {"daily": hours}

    def queues(self) -> dict[str, dict[str, int]]:
        with self._lock:
            now, found = self._clock.wall(), dict[str, dict[str, int]]()
            for job in self._jobs.values():
                if job.state != "inactive" or _gone(job, now):
                    continue
                views = found.setdefault(job.record["queue"], dict.fromkeys(WAYS, 0))
                if job.held:
                    views["held"] += 1
                elif self._blocked(job.record, now):
                    views["blocked"] += 1
                elif job.record["delayed"] > now:
                    views["delayed"] += 1
                else:
                    views["blocked" if self._gate(job.record, now) else "ready"] += 1
            return found

    def now(self) -> float:
        return self._clock.wall()

    # -- what is said of queues ------------------------------------------------------------------

    def set_queue(self, queue: str, **said: Any) -> bool:
        check_queue(queue)
        with self._lock:
            before = self._controls.get(queue, NOTHING)
            after = changed(before, self._clock.wall(), **said)
            if after == before:
                return False
            self._controls[queue] = after
            self._ring()
            return True

    def controls(self) -> dict[str, Control]:
        with self._lock:
            return dict(self._controls)

    # -- for a worker that stays -----------------------------------------------------------------

    def doorbell(self, queues: Sequence[str]) -> Doorbell:
        bell = MemoryDoorbell(self, frozenset(asked.strings(queues, "queues")))
        self._bells.append(bell)
        return bell

    def watch_job(self, id: int, ring: Callable[[], None]) -> Callable[[], None]:
        del id  # every change of a job rings
        waiting = _Waiting(ring)
        self._bells.append(waiting)
        return partial(self._bells.remove, waiting)

    def _ring(self) -> None:
        for bell in tuple(self._bells):
            bell.ring()

    def next_due(self, queues: frozenset[str]) -> float | None:
        """Seconds until a delayed job of these queues becomes due; None when there is none."""
        with self._lock:
            now = self._clock.wall()
            later = (
                job.record["delayed"] - now
                for job in self._jobs.values()
                if job.state == "inactive" and job.record["queue"] in queues
            )
            return min((seconds for seconds in later if seconds > 0), default=None)

    def forget(self, bell: MemoryDoorbell) -> None:
        """Ring this one no more."""
        self._bells.remove(bell)


class _Waiting:
    """Somebody who waits for a job."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self.ring = ring


class MemoryDoorbell(Bell):
    """A bell that every change of a job rings."""

    hears = True

    def __init__(self, backend: MemoryBackend, queues: frozenset[str]) -> None:
        super().__init__()
        self._backend = backend
        self._queues = queues

    def due(self) -> float | None:
        """Seconds until a delayed job of the queues becomes due."""
        return self._backend.next_due(self._queues)

    def close(self) -> None:
        """Take it down."""
        self._backend.forget(self)
        super().close()


def _gone(job: _Job, now: float) -> bool:
    """Whether this job is past its expiry: nobody sees it, and repair will delete it."""
    return job.state == "inactive" and expired(job.record, now)


def _info(job: _Job, children: Mapping[int, list[int]], now: float) -> JobInfo:
    return JobInfo(
        **copy.deepcopy(job.record),
        state=job.state,
        children=list(children.get(job.record["id"], [])),
        held=job.held,
        time=now,
    )


# -- what a caller may pass ----------------------------------------------------------------------


def _from_json(value: JSON, name: str) -> JSON:
    """The value as JSON gives it back: tuples are lists, and the caller's objects stay his."""
    check_json(value, name)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except ValueError as error:
        raise InvalidValue(f"{name}: JSON cannot carry this number: {error}") from error


def _call(job: str | Sequence[Any]) -> Sequence[Any]:
    """(task,), (task, args) or (task, args, kwargs) of one job of a batch."""
    if isinstance(job, str):
        return (job,)
    if not isinstance(job, list | tuple) or not 1 <= len(job) <= 3:
        raise InvalidType(f"a job is a task name or (task, args, kwargs), not {job!r:.60}")
    return job


def _id_filter(before: int | None, ids: Iterable[Any] | None) -> Callable[[int], bool]:
    bound = None if before is None else check_id(before, "before")
    wanted = None if ids is None else set(asked.ids(ids))
    return lambda key: (bound is None or key < bound) and (wanted is None or key in wanted)
