"""A spool in which somebody has left things, and the daily work that has to go on in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.support import FakeClock, claim, drain, info

OpenSpool = Callable[..., FileBackend]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def open_spool(root: Path, clock: FakeClock) -> OpenSpool:
    """Open the spool, as another process would."""

    def open_it(**options: Any) -> FileBackend:
        return FileBackend(str(root), **{"clock": clock, "durability": "none", **options})

    return open_it


@pytest.fixture
def files(open_spool: OpenSpool) -> FileBackend:
    return open_spool()


@pytest.fixture
def worker(files: FileBackend) -> int:
    return files.register_worker()


@pytest.fixture(autouse=True)
def _nothing_is_followed() -> Iterator[None]:
    """Whatever a link in a spool points to is neither changed nor removed."""
    before = os.stat("/etc/passwd")
    yield
    after = os.stat("/etc/passwd")
    assert (after.st_ino, after.st_size, after.st_mtime_ns, after.st_nlink) == (
        before.st_ino, before.st_size, before.st_mtime_ns, before.st_nlink,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """A test that hangs in a system call is ended with a trace, long before the general limit."""
    import faulthandler

    faulthandler.dump_traceback_later(60, exit=True)
    before = threading.active_count()  # other tests of this process may have left some
    yield
    faulthandler.cancel_dump_traceback_later()
    assert threading.active_count() <= before


def a_day(files: FileBackend, clock: FakeClock) -> None:
    """Everything that anybody does with a spool, each with the answer that it must have."""
    clock.advance(3)
    before = files.list_jobs(queues=["day"]).total
    worker = files.register_worker(status={"jobs": 4})
    parent = files.enqueue("day", [1], queue="day", notes={"k": 1})
    child = files.enqueue("day", parents=[parent], queue="day")
    batch = files.enqueue_many(["day"] * 3, queue="day", priority=2)
    later = files.enqueue("day", queue="day", delay=5)

    assert drain(files, worker, queues=["day"]) == [*batch, parent]
    assert files.finish_jobs([(id_, 0, "done") for id_ in batch]) == [True] * 3
    assert files.note(parent, {"l": 2})
    assert files.finish_job(parent, 0, "done")
    assert claim(files, worker, queues=["day"])["id"] == child
    assert files.fail_job(child, 0, "broken")
    assert files.retry_job(child, 0, delay=5)
    clock.advance(6)
    assert drain(files, worker, queues=["day"]) == [child, later]
    assert files.finish_job(later, 0)
    assert files.finish_job(child, 1)
    assert info(files, parent).children == [child]
    assert files.remove_job(later)

    assert files.lock("day", 60, limit=2)
    assert files.lock("day", 60, limit=2)
    assert not files.lock("day", 60, limit=2)
    assert files.unlock("day")
    assert [lock.name for lock in files.list_locks(names=["day"]).rows] == ["day"]
    assert files.list_locks().total >= 1
    assert files.unlock("day")
    assert files.broadcast("jobs", [4], [worker])
    assert files.receive(worker) == [["jobs", 4]]
    assert files.register_worker(worker, status={"jobs": 5}) == worker
    [entry] = files.list_workers(ids=[worker]).rows
    assert entry.status == {"jobs": 5}

    assert files.list_jobs(0, 3, queues=["day"]).total == before + 5
    assert files.list_jobs().rows[0].time == clock.wall()
    stats = files.stats()
    assert stats["finished_jobs"] >= 5
    assert len(files.history()["daily"]) == 24
    files.repair()
    assert files.register_worker(worker) == worker
    files.unregister_worker(worker)
    files.repair()
