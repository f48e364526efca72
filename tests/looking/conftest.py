"""Jobs and workers as values, for decisions that need no spool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spoolq.model import JobInfo, WorkerInfo

NOW = 1_700_000_000.0

MakeJob = Callable[..., JobInfo]
MakeWorker = Callable[..., WorkerInfo]


@pytest.fixture
def job() -> MakeJob:
    """A job as it would be listed at NOW; what is given replaces the defaults."""

    def make(**given: Any) -> JobInfo:
        values: dict[str, Any] = {
            "id": 17, "task": "resize", "args": [], "state": "inactive", "queue": "default",
            "priority": 0, "attempts": 1, "retries": 0, "created": NOW - 60, "delayed": NOW - 60,
            "expires": None, "started": None, "finished": None, "retried": None, "lax": False,
            "parents": [], "children": [], "notes": {}, "result": None, "worker": None,
            "time": NOW,
        }  # fmt: skip
        return JobInfo(**{**values, **given})

    return make


@pytest.fixture
def some_worker() -> MakeWorker:
    """A worker that is alive and has one free slot; keywords are its status."""

    def make(
        id: int = 1, *, silent: float = 0, jobs_now: tuple[int, ...] = (), **status: Any
    ) -> WorkerInfo:
        return WorkerInfo(
            id=id, host="node07", pid=4182, started=NOW - 600, notified=NOW - silent,
            status={"jobs": 1, "queues": ["default"], "spare": 0, **status}, jobs=list(jobs_now),
        )  # fmt: skip

    return make
