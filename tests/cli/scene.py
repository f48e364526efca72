"""A spool in which something of everything is going on, with ages that do not change in a test."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import patch

from spoolq.files.store import FileBackend
from tests.support import FakeClock
from tests.support.jobs import claim

HOURS, MINUTES = 3600, 60


def play(root: Path) -> None:
    """Make the spool. Everything is half a minute beyond its age, so nobody's minute ends."""
    clock = FakeClock(time.time() - 50 * HOURS)
    backend = FileBackend(str(root), clock=clock, durability="none")

    def ago(seconds: float) -> None:
        clock.advance(time.time() - seconds - clock.wall())

    def enters(host: str, pid: int, queues: list[str], jobs: int) -> int:
        about = {"host": host, "pid": pid, "started": clock.wall()}
        with patch("spoolq.files.registry.this_process", return_value=about):
            status = {"queues": queues, "jobs": jobs, "spare": 0, "tasks": ["resize", "send"]}
            return backend.register_worker(status=status)

    silent = enters("node09", 3311, ["gpu"], 4)
    first = enters("node07", 4182, ["default", "mail"], 8)
    ago(2 * HOURS + 30)
    backend.register_worker(silent)
    backend.enqueue("resize", ["old.jpg"])  # 1
    backend.finish_job(1, claim(backend, first)["retries"], "old-800.jpg")
    ago(12 * MINUTES + 30)
    backend.enqueue(  # 2
        "resize", ["photo.jpg"], {"width": -1}, attempts=2, notes={"batch": 7}
    )
    claim(backend, first)
    error = {"type": "ValueError", "message": "bad width -1", "traceback": "…"}
    backend.fail_job(2, 0, error)
    clock.advance(30)
    claim(backend, first)
    clock.advance(150)
    backend.fail_job(2, 1, error)
    ago(4 * MINUTES + 30)
    backend.enqueue("resize", ["big.jpg"])  # 3
    claim(backend, first)
    backend.note(3, {"progress": {"done": 61, "total": 100, "message": "scaling"}})
    backend.enqueue("send", ["ann@example.org"], queue="mail", priority=5)  # 4
    backend.enqueue("train", ["cfg.yml"], queue="gpu")  # 5
    backend.enqueue("report", parents=[2])  # 6
    backend.enqueue("send", queue="mail", delay=23 * MINUTES + 60)  # 7
    ago(65)
    backend.register_worker(first)
