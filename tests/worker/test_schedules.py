"""A worker dispatches schedules by itself, when they are due and not only now and then [287]."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from spoolq.files.store import FileBackend
from spoolq.loop.plan import Terms
from spoolq.memory import MemoryBackend
from tests.support import FakeClock, wait_for
from tests.worker.conftest import Running

BURST = Terms(burst=True)


def overdue(spool: Spool, name: str, task: str, **options: Any) -> None:
    """A schedule of once an hour, which was due half an hour ago and is again in as long."""
    now = spool.backend.now()
    before, at = FakeClock(now - 3600), int((now - 1800) % 3600 // 60)
    backend = spool.backend
    if isinstance(backend, FileBackend):
        FileBackend(backend.root, clock=before, durability="none").schedule(
            name, f"{at} * * * *", task, **options
        )
        return
    assert isinstance(backend, MemoryBackend)
    backend._clock, clock = before, backend._clock
    backend.schedule(name, f"{at} * * * *", task, **options)
    backend._clock = clock


@pytest.mark.minion(287, 406)
def test_a_worker_dispatches_at_its_start_and_performs_the_job(spool: Spool) -> None:
    spool.add_task("add", lambda: 42)
    overdue(spool, "often", "add")

    spool.worker().run(BURST)

    assert [(job.state, job.result) for job in spool.jobs()] == [("finished", 42)]


@pytest.mark.minion(287)
def test_with_an_interval_of_zero_it_never_does(spool: Spool) -> None:
    spool.add_task("add", lambda: 42)
    overdue(spool, "often", "add")

    spool.worker(dispatch_interval=0).run(BURST)

    assert spool.jobs().total == 0


@pytest.mark.minion(282)
def test_the_events_of_a_dispatch_come_in_order_when_all_is_stored(spool: Spool) -> None:
    heard: list[Any] = []
    spool.on("enqueue", lambda _, job: heard.append(("enqueue", job, spool.jobs().total)))
    spool.on("enqueue_from_schedule", lambda _, job, name: heard.append((name, job)))
    overdue(spool, "first", "t")
    overdue(spool, "second", "t")

    entries = spool.dispatch_schedules()

    one, two = (entry["job"] for entry in entries)
    assert heard == [("enqueue", one, 2), ("first", one), ("enqueue", two, 2), ("second", two)]


def test_a_worker_tells_the_listeners_of_its_program(spool: Spool) -> None:
    heard: list[str] = []
    spool.on("enqueue_from_schedule", lambda _, job, name: heard.append(name))
    overdue(spool, "often", "nobody has this")

    spool.worker().run(BURST)

    assert heard == ["often"]


def test_a_worker_that_waits_is_woken_by_a_schedule_that_is_due_soon(
    spool: Spool, running: Running
) -> None:
    spool.add_task("add", lambda: 42)
    worker = running(spool, dispatch_interval=1000)
    wait_for(lambda: worker._engine is not None and worker._engine._dry is not None)

    overdue(spool, "often", "add")  # as if it had come due just now
    spool.pause_schedule("often")
    spool.resume_schedule("often")

    wait_for(lambda: [job.state for job in spool.jobs()] == ["finished"])


def test_an_idle_worker_does_not_dispatch_in_vain(spool: Spool, running: Running) -> None:
    calls: list[float] = []
    spool.schedule("yearly", "0 0 1 1 *", "t")
    dispatch = spool.backend.dispatch_schedules

    def counted(interval: float) -> Any:
        calls.append(interval)
        return dispatch(interval)

    spool.backend.dispatch_schedules = counted  # type: ignore[method-assign, assignment]
    spool.add_task("add", lambda: 42)
    running(spool)
    job = spool.enqueue("add")
    wait_for(lambda: (spool.job(job) or job).is_finished() or spool.jobs().total == 1)
    job.result(timeout=10)

    assert calls == [30]


def test_declared_schedules_are_stored_by_a_worker_and_vanished_ones_told(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    @spool.cron("0 9 * * 1-5", tz="Europe/Berlin")
    def report() -> None: ...

    spool.worker().run(Terms(max_jobs=0))
    [info] = spool.schedules()
    assert (info.name, info.task, info.tz) == ("report", "report", "Europe/Berlin")
    assert info.declared == f"program {__name__}"

    spool._registry.schedules.clear()  # as another version of the program would have it
    with caplog.at_level(logging.WARNING, "spoolq.worker"):
        spool.worker().run(Terms(max_jobs=0))
    assert f"'report' is no longer declared in program {__name__}" in caplog.text
    assert spool.schedules().total == 1


def test_settings_that_are_read_again_bring_their_schedules(
    file_spool: Spool, tmp_path: Path
) -> None:
    file_spool.worker().run(Terms(max_jobs=0))
    (tmp_path / "spool" / "spoolq.toml").write_text(
        '[schedules.nightly]\ncron = "@daily"\ntask = "cleanup"\nargs = [1]\n'
        'tz = "Asia/Tokyo"\noverlap = "skip"\njitter = 60\npriority = 5\n'
    )
    file_spool.backend.reload()
    file_spool._registry.settings = file_spool.backend.settings  # type: ignore[attr-defined]
    file_spool.worker().run(Terms(max_jobs=0))

    [info] = file_spool.schedules()
    assert (info.args, info.tz, info.overlap, info.jitter, info.priority) == (
        [1], "Asia/Tokyo", "skip", 60, 5,
    )  # fmt: skip
    assert info.declared == "spoolq.toml"
