"""`process` in a program: Python tasks, several at once, and a spool that fails under it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from spoolq.errors import InvalidValue, SpoolUnavailable
from spoolq.memory import MemoryBackend
from spoolq.model import State
from spoolq.process import Processed, process
from spoolq.spool import Spool
from tests.support import wait_for


class Failing(MemoryBackend):
    """A backend whose disk refuses some calls."""

    refused_commits = 0
    refused_claims_after = 10**9

    def finish_job(self, *args: Any, **options: Any) -> bool:
        if self.refused_commits:
            self.refused_commits -= 1
            raise SpoolUnavailable("the disk is full")
        return super().finish_job(*args, **options)

    def dequeue(self, *args: Any, **options: Any) -> Any:
        if self.refused_claims_after == 0:
            raise SpoolUnavailable("stale file handle")
        self.refused_claims_after -= 1
        return super().dequeue(*args, **options)


def states(spool: Spool) -> list[State]:
    """The states of all jobs, oldest first."""
    return [job.state for job in spool.jobs()][::-1]


def touch_and_wait(mine: str, other: str) -> None:
    Path(mine).touch()
    wait_for(Path(other).exists)


def test_python_tasks_are_performed_and_counted() -> None:
    spool = Spool("memory:")
    spool.add_task("add", lambda a, b: a + b)
    spool.add_task("divide", lambda a, b: a / b)
    good, bad = spool.enqueue("add", [1, 2]), spool.enqueue("divide", [1, 0])

    done = process(spool)

    assert done == Processed(performed=2, failed=1)
    assert states(spool) == ["finished", "failed"]
    assert good.info().result == 3  # type: ignore[union-attr]
    assert bad.info().result["type"] == "ZeroDivisionError"  # type: ignore[union-attr]


def test_several_run_at_once(tmp_path: Path) -> None:
    spool = Spool("memory:")
    spool.add_task("meet", touch_and_wait)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    spool.enqueue_many([("meet", [a, b]), ("meet", [b, a])])

    assert process(spool, jobs=2) == Processed(performed=2, failed=0)


def test_a_limit_of_none_at_all_starts_nothing() -> None:
    spool = Spool("memory:")
    spool.add_task("noop", lambda: None)
    spool.enqueue("noop")

    assert process(spool, limit=0) == Processed(performed=0, failed=0)


def test_no_slot_at_all_is_an_error() -> None:
    with pytest.raises(InvalidValue):
        process(Spool("memory:"), jobs=0)


def test_it_works_outside_of_the_main_thread() -> None:
    spool = Spool("memory:")
    spool.add_task("noop", lambda: None)
    spool.enqueue("noop")
    thread = threading.Thread(target=process, args=(spool,), daemon=True)

    thread.start()
    thread.join(10)

    assert states(spool) == ["finished"]


def test_the_worker_beats_while_a_job_runs_and_is_gone_afterwards(tmp_path: Path) -> None:
    spool = Spool("memory:", missing_after=0.3)
    spool.add_task("meet", touch_and_wait)
    spool.enqueue("meet", [str(tmp_path / "started"), str(tmp_path / "go")])
    thread = threading.Thread(target=process, args=(spool,), daemon=True)
    thread.start()
    wait_for((tmp_path / "started").exists)
    (worker,) = spool.workers()

    wait_for(lambda: [w.notified for w in spool.workers()] > [worker.notified + 0.3])
    (tmp_path / "go").touch()
    thread.join(10)

    assert states(spool) == ["finished"]
    assert list(spool.workers()) == []


def test_a_disk_that_refuses_an_outcome_is_asked_again() -> None:
    backend = Failing()
    spool = Spool(backend)
    spool.add_task("noop", lambda: None)
    spool.enqueue("noop")
    backend.refused_commits = 3

    assert process(spool) == Processed(performed=1, failed=0)

    assert states(spool) == ["finished"]


def test_a_disk_that_refuses_for_good_is_an_error_and_the_job_is_taken_over() -> None:
    backend = Failing(missing_after=0.1)
    spool = Spool(backend)
    spool.add_task("noop", lambda: None)
    spool.enqueue("noop", attempts=2)
    backend.refused_commits = 10**9
    backend.register_worker = _beats_once(backend)  # type: ignore[method-assign]

    with pytest.raises(SpoolUnavailable):
        process(spool)

    assert states(spool) == ["active"]
    spool.repair()
    assert states(spool) == ["inactive"]


def test_what_runs_still_ends_when_no_more_can_be_claimed() -> None:
    backend = Failing()
    spool = Spool(backend)
    spool.add_task("noop", lambda: None)
    spool.enqueue_many(["noop", "noop"])
    backend.refused_claims_after = 1

    with pytest.raises(SpoolUnavailable):
        process(spool, jobs=2)

    assert states(spool) == ["finished", "inactive"]


def _beats_once(backend: MemoryBackend) -> Any:
    register = backend.register_worker
    first = True

    def register_worker(*args: Any, **options: Any) -> int:
        nonlocal first
        if not first:
            raise SpoolUnavailable("stale file handle")
        first = False
        return register(*args, **options)

    return register_worker
