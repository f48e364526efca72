"""Many dispatchers at once: each occurrence is enqueued once, whoever of them dies [284]."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
import warnings
from collections import Counter
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend
from tests.race.crowd import at_once, flat
from tests.support import FakeClock
from tests.support.checker import check_spool
from tests.support.faults import Kill, Plan, watched

pytestmark = pytest.mark.slow

NAMES = ("a/b", "nightly", "third")
DISPATCHERS = 6
ENOUGH = 20  # changes that a dispatcher makes, at least


def opened(root: Path, clock: FakeClock, plan: Plan | None = None) -> FileBackend:
    return FileBackend(
        str(root), clock=clock, durability="none", filesystem=watched(plan or Plan(), "ext4")
    )


def dies_dispatching(root: Path, clock: FakeClock, at: int) -> int:
    """A process that dispatches and is killed before its change number `at`; its pid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            opened(root, clock, Kill(at, "before")).dispatch_schedules()
        except BaseException:  # noqa: BLE001  # it must never go on as a second pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def was_killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, "a dispatcher failed"
    return killed


@pytest.mark.minion(284)
@pytest.mark.parametrize(
    ("victims", "occurrences"), [(DISPATCHERS, 1), pytest.param(1, 2, marks=pytest.mark.exhaustive)]
)
def test_of_six_dispatchers_that_are_killed_at_any_change_each_occurrence_comes_once(
    tmp_path: Path, clock: FakeClock, victims: int, occurrences: int
) -> None:
    base = tmp_path / "base"
    backend = opened(base, clock)
    for name in NAMES:
        backend.schedule(name, "*/5 * * * *", "task", [name])
    clock.advance(300)
    at, killed = 0, 1

    # Of several who race one alone may find less to do than the time before: it is killed so often.
    while killed or (victims == 1 and at < ENOUGH):
        at += 1
        root, now = tmp_path / f"trial-{at}", FakeClock(clock.wall())
        shutil.copytree(base, root)
        killed = 0
        for occurrence in range(1, occurrences + 1):
            ends = [at if number < victims else 10**6 for number in range(DISPATCHERS)]
            children = [dies_dispatching(root, now, end) for end in ends]
            killed += sum(was_killed(child) for child in children)
            survivor = opened(root, now)
            survivor.dispatch_schedules()
            jobs = survivor.list_jobs().rows
            assert Counter(job.args[0] for job in jobs) == dict.fromkeys(NAMES, occurrence)
            assert survivor.dispatch_schedules() == []
            now.advance(300)
        survivor.repair()
        check_spool(str(root), acked=[job.id for job in jobs])
        shutil.rmtree(root)

    assert at >= ENOUGH, f"only {at} changes"


@pytest.mark.minion(284)
def test_six_dispatchers_that_dispatch_three_times_enqueue_each_occurrence_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    root = tmp_path / "spool"
    backend = opened(root, clock)
    for name in NAMES:
        backend.schedule(name, "*/5 * * * *", "task", [name])
    clock.advance(300)

    def dispatch() -> list[str]:
        mine = opened(root, clock)
        return [str(entry["name"]) for _ in range(3) for entry in mine.dispatch_schedules()]

    found = flat(at_once(*[dispatch] * DISPATCHERS))

    assert sorted(found) == sorted(NAMES)
    assert backend.list_jobs().total == 3


def test_who_changes_a_schedule_while_others_dispatch_it_loses_no_firing(
    tmp_path: Path, clock: FakeClock
) -> None:
    root, steps = tmp_path / "spool", 40
    backend = opened(root, clock)
    backend.schedule("nightly", "* * * * *", "task", catch_up="all")
    start = clock.wall()

    def dispatch() -> int:
        now = FakeClock(start)
        mine, fired = opened(root, now), 0
        for _ in range(steps):
            now.advance(60)
            fired += len(mine.dispatch_schedules())
        return fired

    def meddle() -> int:
        mine = opened(root, FakeClock(start))
        for number in range(steps):
            mine.schedule("nightly", "* * * * *", "task", priority=number, catch_up="all")
            mine.pause_schedule("nightly")
            mine.resume_schedule("nightly")
        return 0

    fired = sum(at_once(dispatch, dispatch, dispatch, meddle))
    clock.advance(60 * steps)
    fired += len(backend.dispatch_schedules())

    assert fired == steps
    assert backend.list_jobs().total == steps


def test_who_stores_and_who_removes_one_name_leave_it_there_or_not(
    tmp_path: Path, clock: FakeClock
) -> None:
    root = tmp_path / "spool"
    opened(root, clock)

    def store() -> int:
        mine = opened(root, clock)
        return sum(bool(mine.schedule("nightly", "* * * * *", "task")) for _ in range(60))

    def remove() -> int:
        mine = opened(root, clock)
        return sum(mine.unschedule("nightly") for _ in range(60))

    answers = at_once(store, store, remove, remove)

    backend = opened(root, clock)
    assert answers[:2] == [60, 60]
    backend.schedule("nightly", "* * * * *", "task")
    assert backend.list_schedules().total == 1
    assert backend.unschedule("nightly")
    backend.repair()
    assert os.listdir(root / "schedules") == []
