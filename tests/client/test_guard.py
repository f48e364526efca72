"""Locks by name through a spool, and guards that let go by themselves."""

from __future__ import annotations

import gc
import os
from datetime import timedelta

import pytest

from spoolq import Spool
from tests.conftest import MakeBackend
from tests.support import FakeClock


def test_lock_unlock_and_is_locked_are_the_backends(spool: Spool) -> None:
    assert spool.lock("foo", timedelta(hours=1))
    assert not spool.lock("foo", 3600)
    assert spool.is_locked("foo")
    assert [lock.name for lock in spool.locks(names=["foo"])] == ["foo"]
    assert spool.unlock("foo")
    assert not spool.is_locked("foo")


@pytest.mark.minion(171)
def test_a_shared_lock_with_room_left_is_locked(spool: Spool) -> None:
    assert spool.lock("foo", 3600, limit=3)
    assert spool.is_locked("foo")
    assert not spool.is_locked("bar")


@pytest.mark.minion(187)
def test_a_guard_is_there_when_the_lock_was_taken_and_none_otherwise(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    assert guard is not None
    assert spool.guard("foo", 3600) is None
    assert spool.is_locked("foo")


@pytest.mark.minion(187)
def test_guards_share_a_lock_up_to_its_limit(spool: Spool) -> None:
    guards = [spool.guard("foo", 3600, limit=2) for _ in range(3)]
    assert [guard is not None for guard in guards] == [True, True, False]


@pytest.mark.minion(188)
def test_a_guard_nobody_keeps_is_released_at_once(spool: Spool) -> None:
    assert spool.guard("foo", 3600) is not None
    gc.collect()
    assert spool.guard("foo", 3600) is not None


@pytest.mark.minion(188)
def test_a_guard_ends_with_its_variable(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    del guard
    gc.collect()
    assert not spool.is_locked("foo")


def test_a_guard_can_be_released_once(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    assert guard is not None
    assert guard.release()
    assert not guard.release()
    assert not spool.is_locked("foo")


def test_a_with_block_holds_the_lock_to_its_end(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    assert guard is not None
    with guard as held:
        assert held is guard
        assert spool.is_locked("foo")
    assert not spool.is_locked("foo")


@pytest.mark.minion(189)
def test_an_exception_releases_the_guard(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    assert guard is not None
    with pytest.raises(ZeroDivisionError), guard:
        _ = 1 // 0
    assert not spool.is_locked("foo")


@pytest.mark.minion(190)
def test_a_guard_of_no_duration_holds_and_releases_nothing(spool: Spool) -> None:
    probe = spool.guard("foo", 0)
    assert probe is not None
    assert spool.lock("foo", 3600)
    assert not probe.release()
    assert spool.is_locked("foo")
    assert spool.guard("foo", 0) is None


@pytest.mark.minion(191)
def test_a_guard_past_its_duration_leaves_the_newer_lock_alone(
    spool: Spool, clock: FakeClock
) -> None:
    guard = spool.guard("foo", 60)
    assert guard is not None
    clock.advance(61)
    assert spool.lock("foo", 3600)
    assert not guard.release()
    assert spool.is_locked("foo")


# Minion's guard releases by name, and takes the lock of somebody else that expires sooner.
@pytest.mark.minion(192)
def test_a_guard_releases_exactly_its_own_hold(spool: Spool) -> None:
    assert spool.lock("foo", 60, limit=2)
    (other,) = spool.locks()
    guard = spool.guard("foo", 3600, limit=2)
    assert guard is not None
    assert guard.release()
    assert [lock.id for lock in spool.locks()] == [other.id]


def test_a_forked_child_does_not_release_the_guard_it_inherits(spool: Spool) -> None:
    guard = spool.guard("foo", 3600)
    assert guard is not None
    pid = os.fork()
    if pid == 0:
        os._exit(1 if guard.release() else 0)
    assert os.waitpid(pid, 0)[1] == 0
    assert spool.is_locked("foo")
    assert guard.release()


# Minion never releases the locks of a dead worker [183]; a guard's lock goes with its worker.
@pytest.mark.minion(183)
def test_repair_releases_the_guard_of_a_job_whose_worker_is_gone(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    spool = Spool(make_backend(missing_after=10))
    kept = []

    @spool.task
    def guarded() -> None:
        kept.append(spool.guard("of the job", 3600))
        assert spool.lock("of nobody", 3600)

    guarded.enqueue()
    job = spool.worker().register().dequeue(0)
    assert job is not None
    assert job.execute() is None
    spool.repair()
    assert spool.is_locked("of the job")
    clock.advance(11)
    spool.repair()
    assert not spool.is_locked("of the job")
    assert spool.is_locked("of nobody")
