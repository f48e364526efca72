"""The four states of a job, and the other words and defaults that every module agrees on.

Apart from the records of `model`: making dataclasses is a third of what `spoolq add` may cost.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final, Literal

    JSON = Any  # dict, list, str, int, float, bool or None, nested: what JSON can carry
    State = Literal["inactive", "active", "finished", "failed"]
else:
    JSON = State = object

STATES: Final[tuple[State, ...]] = ("inactive", "active", "finished", "failed")

# What an inactive job does, as people see it.
WAYS: Final = ("ready", "delayed", "blocked", "held")

FOREGROUND_QUEUE: Final = "minion_foreground"  # Minion's reserved name; repair leaves it alone
WORKER_GONE: Final = "Worker went away"
STUCK: Final = "Job appears stuck in queue"
UNKNOWN_ERROR: Final = "Unknown error"

MISSING_AFTER: Final = 120.0  # seconds without a heartbeat; Minion waits 1800
REMOVE_AFTER: Final = 172_800.0  # seconds a finished job is kept; Minion's default
STUCK_AFTER: Final = 172_800.0  # seconds an overdue job may wait; Minion's default
