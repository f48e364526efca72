"""spoolq: a job queue that is a directory."""

from __future__ import annotations

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any

    from spoolq.backend import Backend
    from spoolq.cron import next_time
    from spoolq.errors import (
        Cancel,
        JobFailed,
        JobRemoved,
        QueueClosed,
        QueueFull,
        Retry,
        Snooze,
        SpoolError,
    )
    from spoolq.job import Job, current_job
    from spoolq.model import JobInfo
    from spoolq.spool import Spool
    from spoolq.worker import Worker

__all__ = [
    "Backend",
    "Cancel",
    "Job",
    "JobFailed",
    "JobInfo",
    "JobRemoved",
    "QueueClosed",
    "QueueFull",
    "Retry",
    "Snooze",
    "Spool",
    "SpoolError",
    "Worker",
    "current_job",
    "next_time",
]

# Loaded when first asked for: a command that only needs one of them starts sooner.
_HOMES = {
    "Backend": "spoolq.backend",
    "Cancel": "spoolq.errors",
    "Job": "spoolq.job",
    "JobFailed": "spoolq.errors",
    "JobInfo": "spoolq.model",
    "JobRemoved": "spoolq.errors",
    "QueueClosed": "spoolq.errors",
    "QueueFull": "spoolq.errors",
    "Retry": "spoolq.errors",
    "Snooze": "spoolq.errors",
    "Spool": "spoolq.spool",
    "SpoolError": "spoolq.errors",
    "Worker": "spoolq.worker",
    "current_job": "spoolq.job",
    "next_time": "spoolq.cron",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
