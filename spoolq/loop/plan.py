"""What may be claimed now, how long to wait, and how a worker was told to work: no I/O at all."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import JSON

HEARTBEAT: Final = 10.0  # seconds; a twelfth of the 120 s after which a worker counts as gone

# Minion's keys and defaults (contract 1.3), but for three: Minion obeys within 10 s and beats every
# 300 s, and its repair, which comes every 6 h, is all that ever finds a dead worker.
DEFAULTS: Final[Mapping[str, JSON]] = {
    "command_interval": 0.5,
    "dequeue_timeout": 5,
    "dispatch_interval": 30,
    "heartbeat_interval": HEARTBEAT,
    "jobs": 4,
    "limits": {},
    "performed": 0,
    "queues": ["default"],
    "repair_interval": 21600,
    "spare": 1,
    "spare_min_priority": 1,
    "type": "Python",
}
_SECONDS: Final = ("command_interval", "dequeue_timeout", "dispatch_interval", "repair_interval")
_COUNTS: Final = ("jobs", "spare", "performed")

HEARD: Final = 1.0  # seconds between two looks where a bell rings
DEAF: Final = (0.01, 0.25)  # where none does: after something happened, and the longest


@dataclass(frozen=True)
class Terms:
    """How a run ends. Without any it ends when it is told to."""

    burst: bool = False
    """End when nothing is left to do now."""
    idle_exit: float | None = None
    """End after so many seconds without a job."""
    max_jobs: int | None = None
    """Start no more than this many."""
    grace: float | None = None
    """Seconds that jobs are given to end by themselves when the worker is told to; None: for ever.

    Then they are sent TERM, 5 s later KILL."""
    release: bool = True
    """Whether jobs that did not end within the grace become inactive again, instead of failing."""
    patient: bool = True
    """Whether a queue that is out of reach is asked again, as long as the worker's lease lasts."""

    def __post_init__(self) -> None:
        """Raises InvalidValue."""
        for name in ("idle_exit", "max_jobs", "grace"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InvalidValue(f"{name} must be 0 or more: {value!r:.40}")


def fill_in(status: dict[str, JSON], *, heartbeat: float) -> None:
    """Give a worker's status the keys that are missing [380]. Raises InvalidType, InvalidValue.

    The repair interval is shortened at random, by less than half, so that workers that start
    together do not repair together.
    """
    for key, value in DEFAULTS.items():
        status.setdefault(key, dict(value) if key == "limits" else value)
    if status["heartbeat_interval"] == HEARTBEAT:
        status["heartbeat_interval"] = heartbeat
    _check(status)
    status["queues"] = list(status["queues"])
    status["repair_interval"] -= random.randrange(max(1, int(status["repair_interval"]) // 2))


def _check(status: Mapping[str, JSON]) -> None:
    for key in (*_SECONDS, "heartbeat_interval"):
        value = status[key]
        if type(value) not in (int, float):
            raise InvalidType(f"{key} must be seconds, not {value!r:.40}")
        if not 0 <= value < 1e9 or (key == "heartbeat_interval" and not value):
            raise InvalidValue(f"{key} must be 0 or more: {value}")
    for key in _COUNTS:
        if count(status[key]) is None:
            raise InvalidValue(f"{key} must be a whole number, 0 or more: {status[key]!r:.40}")
    if type(status["spare_min_priority"]) is not int:
        raise InvalidType("spare_min_priority must be a whole number")
    queues, limits = status["queues"], status["limits"]
    if isinstance(queues, str) or not all(isinstance(queue, str) for queue in queues):
        raise InvalidType(f"queues must be a list of strings, not {queues!r:.60}")
    if not isinstance(limits, Mapping) or any(count(most) is None for most in limits.values()):
        raise InvalidType(f"limits must be numbers by task, not {limits!r:.60}")


def count(value: object) -> int | None:
    """A whole number, 0 or more, also in decimal digits; None for anything else [300]."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


Room = Literal["any", "high", "none"]


def room(running: int, status: Mapping[str, Any]) -> Room:
    """Whether one more job may start, and whether only one of high priority [385-387]."""
    jobs: int = status["jobs"]
    if running < jobs:
        return "any"
    return "high" if running < jobs + status["spare"] else "none"


def wanted(
    tasks: Iterable[str], limits: Mapping[str, int], running: Mapping[str, int]
) -> list[str]:
    """The tasks that are not at their limit, in their order [388-390]."""
    return [task for task in tasks if task not in limits or running.get(task, 0) < limits[task]]


def pause(longest: float, *, hears: bool, idle: int) -> float:
    """Seconds until the next look at a queue that was found empty `idle` times in a row.

    A bell is a hint, so there is a look without one too. The jitter keeps workers apart.
    """
    wanted = HEARD if hears else min(DEAF[1], DEAF[0] * 1.5 ** min(idle, 20))
    return min(wanted, longest) * random.uniform(0.8, 1.0)


def margin(missing_after: float, heartbeat: float) -> float:
    """How long before others may declare a worker dead it has to have killed what it runs.

    Two heartbeats and 1 % for clocks that do not run at the same rate; for a missing_after that
    is shorter than any sensible one, a third of it.
    """
    return min(2 * heartbeat + missing_after / 100, missing_after / 3)
