"""The values that callers see: frozen, in seconds, without a way back to where they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from spoolq.states import (
    FOREGROUND_QUEUE,
    JSON,
    MISSING_AFTER,
    REMOVE_AFTER,
    STATES,
    STUCK,
    STUCK_AFTER,
    UNKNOWN_ERROR,
    WORKER_GONE,
    State,
)

__all__ = [
    "FOREGROUND_QUEUE",
    "JSON",
    "MISSING_AFTER",
    "REMOVE_AFTER",
    "STATES",
    "STUCK",
    "STUCK_AFTER",
    "UNKNOWN_ERROR",
    "WORKER_GONE",
    "Claimed",
    "JobInfo",
    "LockInfo",
    "Page",
    "ScheduleInfo",
    "State",
    "WorkerInfo",
]


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job at one moment: Minion's 21 fields (contract 1.7), and ours beside them.

    Times are epoch seconds by the spool's clock, or None where it has not happened.
    """

    id: int
    task: str
    args: list[JSON]
    state: State
    queue: str
    priority: int
    attempts: int
    retries: int
    created: float
    delayed: float
    expires: float | None
    started: float | None
    finished: float | None
    retried: float | None
    lax: bool
    parents: list[int]
    children: list[int]
    notes: dict[str, JSON]
    result: JSON
    worker: int | None
    time: float
    kwargs: dict[str, JSON] = field(default_factory=dict)
    timeout: float | None = None
    exit: dict[str, JSON] | None = None
    history: list[dict[str, JSON]] = field(default_factory=list)
    unique: dict[str, JSON] | None = None
    limits: list[list[JSON]] = field(default_factory=list)
    held: bool = False
    """Inactive, and not to be claimed until somebody releases it."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One registered worker. `jobs` are the ids it performs now; `notified` its last heartbeat."""

    id: int
    host: str
    pid: int
    started: float
    notified: float
    status: dict[str, JSON]
    jobs: list[int]


@dataclass(frozen=True, slots=True)
class LockInfo:
    """One holder of a named lock: a lock with a limit has several, each with its own id."""

    id: int
    name: str
    expires: float


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """One schedule at one moment: Minion's 16 fields (contract 1.7), and ours beside them.

    Times are epoch seconds by the spool's clock, or None where there is none: `last_run` before
    the first, `next_run` of one that will not fire within five years. `expire` and `timeout` are
    seconds. `declared` says where it is declared, None for one that was stored by hand. `limits`
    are those of its jobs, as in `JobInfo`.
    """

    id: int
    name: str
    cron: str
    task: str
    args: list[JSON]
    queue: str
    priority: int
    attempts: int
    lax: bool
    expire: float | None
    notes: dict[str, JSON]
    paused: bool
    created: float
    last_job: int | None
    last_run: float | None
    next_run: float | None
    kwargs: dict[str, JSON] = field(default_factory=dict)
    timeout: float | None = None
    tz: str = "UTC"
    catch_up: str = "latest"
    overlap: str = "allow"
    jitter: float = 0.0
    declared: str | None = None
    limits: list[list[Any]] = field(default_factory=list)


class Claimed(TypedDict):
    """What `dequeue` hands out: all that is needed to perform one attempt."""

    id: int
    task: str
    args: list[JSON]
    kwargs: dict[str, JSON]
    retries: int
    queue: str
    timeout: float | None
    attempts: int
    parents: list[int]
    label: str | None


class Page(Mapping[str, Any]):
    """One page of a listing: `page["jobs"]` and `page["total"]`, or `.rows` and `.total`.

    The total is counted when it is asked for: over a million jobs it costs more than the page.
    """

    __slots__ = ("_count", "_kind", "_rows", "_total")

    def __init__(self, kind: str, rows: list[Any], count: Callable[[], int]) -> None:
        self._kind, self._rows, self._count = kind, rows, count
        self._total: int | None = None

    @property
    def rows(self) -> list[Any]:
        """The records of the page, newest first."""
        return self._rows

    @property
    def total(self) -> int:
        """How many records match, before offset and limit."""
        if self._total is None:
            self._total = int(self._count())
        return self._total

    def __getitem__(self, key: str) -> Any:
        if key == self._kind:
            return self._rows
        if key == "total":
            return self.total
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter((self._kind, "total"))

    def __len__(self) -> int:
        return 2
