"""What time and crashes leave behind, put right; and starting over [207-228]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.model import State
from tests.conftest import MakeBackend
from tests.support import (
    FakeClock,
    drain,
    failed_job,
    finished_job,
    info,
    job_in,
    lookup,
)

DAY = 86_400


@pytest.fixture
def forgetful(make_backend: MakeBackend) -> Backend:
    """A backend that keeps finished jobs for no time at all."""
    return make_backend(remove_after=0)


def everything(backend: Backend) -> tuple[Any, ...]:
    """What can be seen from outside, but for what a clock alone changes."""
    stats = {key: value for key, value in backend.stats().items() if key != "uptime"}
    return (
        backend.list_jobs(0, 1000).rows,
        backend.list_workers().rows,
        backend.list_locks().rows,
        stats,
    )


@pytest.mark.minion(208)
def test_an_empty_queue_needs_no_repair(backend: Backend) -> None:
    backend.repair()

    assert backend.list_jobs().total == 0


# -- workers -------------------------------------------------------------------------------------


@pytest.mark.minion(209)
def test_a_worker_is_dead_when_its_heartbeat_is_too_old(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(missing_after=1800)
    dead = backend.register_worker()
    clock.advance(6)
    alive = backend.register_worker()
    clock.advance(1795)

    backend.repair()

    assert [worker.id for worker in backend.list_workers().rows] == [alive]
    assert dead != alive


@pytest.mark.minion(209)
def test_a_worker_that_beats_stays(backend: Backend, worker: int, clock: FakeClock) -> None:
    for _ in range(5):
        clock.advance(100)
        backend.register_worker(worker)
        backend.repair()

    assert [seen.id for seen in backend.list_workers().rows] == [worker]


@pytest.mark.minion(207, 210, 213)
def test_the_jobs_of_a_dead_worker_fail_in_the_same_repair(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    ids = [backend.enqueue("foo"), backend.enqueue("foo", attempts=2)]
    assert drain(backend, worker) == ids
    clock.advance(121)

    backend.repair()

    final, again = info(backend, ids[0]), info(backend, ids[1])
    assert (final.state, final.result, final.worker) == ("failed", "Worker went away", worker)
    assert final.finished == pytest.approx(clock.wall())
    assert (again.state, again.result) == ("inactive", "Worker went away")
    assert (again.attempts, again.retries) == (1, 1)
    assert again.delayed == pytest.approx(clock.wall() + 15)
    assert not backend.finish_job(ids[0], 0)
    assert not backend.finish_job(ids[1], 0)


@pytest.mark.minion(211)
def test_the_jobs_of_a_worker_that_unregistered_fail_at_once(backend: Backend) -> None:
    worker, other = backend.register_worker(), backend.register_worker()
    lost = job_in("active", backend, worker)
    kept = job_in("active", backend, other)
    backend.unregister_worker(worker)

    backend.repair()

    assert (info(backend, lost).state, info(backend, lost).result) == ("failed", "Worker went away")
    assert (info(backend, kept).state, info(backend, kept).result) == ("active", None)
    assert backend.finish_job(kept, 0)


@pytest.mark.minion(210)
def test_a_job_of_a_worker_that_is_gone_can_still_end_before_repair(
    backend: Backend, worker: int
) -> None:
    job_id = job_in("active", backend, worker)
    backend.unregister_worker(worker)

    assert backend.finish_job(job_id, 0, "made it")
    backend.repair()

    assert (info(backend, job_id).state, info(backend, job_id).result) == ("finished", "made it")


@pytest.mark.minion(212)
def test_jobs_in_the_foreground_are_left_alone(backend: Backend, worker: int) -> None:
    job_id = job_in("active", backend, worker, queue="minion_foreground")
    backend.unregister_worker(worker)

    backend.repair()

    assert (info(backend, job_id).state, info(backend, job_id).result) == ("active", None)
    assert backend.finish_job(job_id, 0)


# -- old jobs ------------------------------------------------------------------------------------


@pytest.mark.minion(215)
def test_a_finished_job_is_removed_when_it_is_old(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    old = finished_job(backend, worker)
    clock.advance(1)
    young = finished_job(backend, worker)
    clock.advance(2 * DAY - 1)

    backend.repair()

    assert lookup(backend, old) is None
    assert info(backend, young).state == "finished"


@pytest.mark.minion(215)
def test_how_long_finished_jobs_are_kept_is_a_setting(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(remove_after=60)
    job_id = finished_job(backend, backend.register_worker())
    clock.advance(59)
    backend.repair()
    assert info(backend, job_id).state == "finished"

    clock.advance(1)
    backend.repair()

    assert lookup(backend, job_id) is None


@pytest.mark.minion(216)
@pytest.mark.parametrize("state", ["inactive", "active", "failed"])
def test_a_finished_job_is_kept_while_a_child_is_not_finished(
    forgetful: Backend, clock: FakeClock, state: State
) -> None:
    worker = forgetful.register_worker()
    parent = finished_job(forgetful, worker)
    child = job_in(state, forgetful, worker, parents=[parent])
    clock.advance(1)

    forgetful.repair()

    assert info(forgetful, parent).children == [child]


@pytest.mark.minion(216)
def test_a_finished_job_is_kept_while_a_child_is_delayed(
    forgetful: Backend, clock: FakeClock
) -> None:
    worker = forgetful.register_worker()
    parent = finished_job(forgetful, worker)
    forgetful.enqueue("bar", parents=[parent], delay=1000)
    clock.advance(1)

    forgetful.repair()

    assert info(forgetful, parent).state == "finished"


@pytest.mark.minion(217)
def test_a_family_goes_in_one_repair_when_the_last_of_it_has_finished(
    forgetful: Backend, clock: FakeClock
) -> None:
    worker = forgetful.register_worker()
    parents = [finished_job(forgetful, worker), finished_job(forgetful, worker)]
    child = job_in("active", forgetful, worker, parents=parents)
    clock.advance(1)
    forgetful.repair()
    assert forgetful.list_jobs().total == 3
    forgetful.finish_job(child, 0)
    clock.advance(1)

    forgetful.repair()

    assert forgetful.list_jobs().total == 0


@pytest.mark.minion(218)
def test_a_failed_job_is_kept_for_ever(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = failed_job(backend, worker, expire=10)
    clock.advance(1000 * DAY)

    backend.repair()

    assert info(backend, job_id).state == "failed"


@pytest.mark.minion(219)
def test_expired_jobs_are_deleted(backend: Backend, worker: int, clock: FakeClock) -> None:
    kept = job_in("active", backend, worker, expire=10)
    ids = [backend.enqueue("foo", expire=10, **options) for options in WAITING]
    clock.advance(10)

    backend.repair()

    assert not any(backend.remove_job(job_id) for job_id in ids)
    assert info(backend, kept).state == "active"


WAITING: list[dict[str, Any]] = [{}, {"queue": "other"}, {"delay": 1000}, {"priority": 7}]


# -- stuck jobs ----------------------------------------------------------------------------------


@pytest.mark.minion(220)
def test_a_job_nobody_takes_fails(backend: Backend, clock: FakeClock) -> None:
    stuck = backend.enqueue("foo")
    clock.advance(1)
    younger = backend.enqueue("foo")
    clock.advance(2 * DAY)

    backend.repair()

    job = info(backend, stuck)
    assert (job.state, job.result) == ("failed", "Job appears stuck in queue")
    assert info(backend, younger).state == "inactive"


@pytest.mark.minion(220)
def test_how_long_a_job_may_wait_is_a_setting(make_backend: MakeBackend, clock: FakeClock) -> None:
    backend = make_backend(stuck_after=60)
    job_id = backend.enqueue("foo", queue="mail", priority=3)
    clock.advance(60)
    backend.repair()
    assert info(backend, job_id).state == "inactive"

    clock.advance(1)
    backend.repair()

    assert info(backend, job_id).state == "failed"


@pytest.mark.minion(221)
def test_active_jobs_of_any_age_are_not_stuck(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    active = job_in("active", backend, worker)
    failed = failed_job(backend, worker)
    clock.advance(30 * DAY)
    backend.register_worker(worker)

    backend.repair()

    assert (info(backend, active).state, info(backend, active).result) == ("active", None)
    assert info(backend, failed).result == "broken"


@pytest.mark.minion(221)
def test_finished_jobs_of_any_age_are_not_stuck(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(stuck_after=10)
    job_id = finished_job(backend, backend.register_worker())
    clock.advance(1000)

    backend.repair()

    assert (info(backend, job_id).state, info(backend, job_id).result) == ("finished", "done")


@pytest.mark.minion(222)
def test_a_stuck_job_is_not_retried(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", attempts=5)
    clock.advance(2 * DAY + 1)

    backend.repair()

    job = info(backend, job_id)
    assert (job.state, job.attempts, job.retries) == ("failed", 5, 0)
    assert (job.finished, job.worker) == (None, None)
    assert drain(backend, worker) == []


@pytest.mark.minion(223)
def test_a_stuck_job_can_be_retried_by_hand(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")
    clock.advance(2 * DAY + 1)
    backend.repair()
    backend.register_worker(worker)

    assert backend.retry_job(job_id, 0)

    backend.repair()
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(224)
def test_a_job_is_not_stuck_before_it_is_due(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", delay=10 * DAY)
    clock.advance(9 * DAY)
    backend.repair()
    assert info(backend, job_id).state == "inactive"

    clock.advance(3 * DAY + 1)
    backend.repair()

    assert info(backend, job_id).state == "failed"


@pytest.mark.minion(224)
def test_a_job_that_waits_for_a_parent_is_not_stuck(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = failed_job(backend, worker)
    child = backend.enqueue("bar", parents=[parent])
    clock.advance(30 * DAY)
    backend.repair()
    assert (info(backend, child).state, info(backend, child).result) == ("inactive", None)

    backend.remove_job(parent)
    backend.repair()

    assert info(backend, child).result == "Job appears stuck in queue"


@pytest.mark.minion(207, 225)
def test_a_job_that_is_both_expired_and_stuck_is_deleted(
    backend: Backend, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", expire=10)
    clock.advance(30 * DAY)

    backend.repair()

    assert lookup(backend, job_id) is None
    assert backend.stats()["failed_jobs"] == 0


# -- repair as a whole ---------------------------------------------------------------------------


@pytest.mark.minion(207, 226)
def test_a_second_repair_finds_nothing_more_to_do(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(remove_after=100)
    worker = backend.register_worker()
    parent = finished_job(backend, worker)
    finished_job(backend, worker, parents=[parent])
    failed_job(backend, worker)
    backend.enqueue("foo", expire=10)
    backend.enqueue("foo", delay=300 * DAY)
    job_in("active", backend, worker, attempts=3)
    job_in("active", backend, worker)
    stuck = backend.enqueue("foo")
    backend.enqueue("bar", parents=[stuck])
    backend.acquire_lock("guarded", 30 * DAY, worker=worker)
    backend.lock("plain", 30 * DAY)
    clock.advance(3 * DAY)

    backend.repair()
    once = everything(backend)
    backend.repair()

    assert everything(backend) == once
    assert lookup(backend, parent) is None


@pytest.mark.minion(216, 226)
def test_an_expired_child_does_not_keep_its_parent_for_a_second_repair(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    backend = make_backend(remove_after=100)
    parent = finished_job(backend, backend.register_worker())
    backend.enqueue("bar", parents=[parent], expire=50)
    clock.advance(100)

    backend.repair()

    assert lookup(backend, parent) is None


@pytest.mark.minion(224, 226)
def test_a_lax_child_of_a_stuck_job_is_not_left_for_a_second_repair(
    backend: Backend, clock: FakeClock
) -> None:
    stuck = backend.enqueue("foo")
    child = backend.enqueue("bar", parents=[stuck], lax=True)
    clock.advance(3 * DAY)

    backend.repair()

    assert [info(backend, job_id).state for job_id in (stuck, child)] == ["failed", "failed"]


@pytest.mark.minion(226)
def test_repair_needs_no_worker(backend: Backend, clock: FakeClock) -> None:
    backend.enqueue("foo", expire=10)
    clock.advance(10)

    backend.repair()

    assert backend.list_workers().total == 0
    assert backend.stats()["inactive_jobs"] == 0


def test_repair_leaves_healthy_jobs_alone(backend: Backend, worker: int, clock: FakeClock) -> None:
    parent = backend.enqueue("foo", priority=-1)
    backend.enqueue("bar", parents=[parent])
    backend.enqueue("foo", delay=60)
    for state in ("active", "finished", "failed"):
        job_in(state, backend, worker)
    clock.advance(30)
    before = everything(backend)

    backend.repair()

    assert everything(backend) == before


@pytest.mark.minion(227)
def test_repair_leaves_locks_alone(backend: Backend, clock: FakeClock) -> None:
    backend.lock("foo", 3600)
    before = backend.list_locks().rows
    clock.advance(1800)

    backend.repair()

    assert backend.list_locks().rows == before


# -- reset ---------------------------------------------------------------------------------------


def populate(backend: Backend) -> int:
    """One of everything; returns the id of the job that is inactive."""
    worker = backend.register_worker()
    for state in ("active", "finished", "failed"):
        job_in(state, backend, worker)
    backend.lock("foo", 3600)
    return backend.enqueue("foo", delay=60)


@pytest.mark.minion(228)
def test_a_reset_of_nothing_changes_nothing(backend: Backend) -> None:
    populate(backend)
    before = everything(backend)

    backend.reset()

    assert everything(backend) == before


@pytest.mark.minion(5, 228)
def test_a_reset_of_everything_starts_over(backend: Backend) -> None:
    populate(backend)

    backend.reset(all=True)

    assert everything(backend)[:3] == ([], [], [])
    assert {value for key, value in backend.stats().items() if key != "uptime"} == {0}
    assert backend.lock("foo", 3600)
    assert backend.register_worker() == 1
    assert backend.enqueue("foo") == 1


@pytest.mark.minion(228)
def test_a_reset_of_everything_forgets_workers_and_their_claims(backend: Backend) -> None:
    worker = backend.register_worker()
    job_id = job_in("active", backend, worker)

    backend.reset(all=True)

    assert not backend.finish_job(job_id, 0)
    assert backend.dequeue(worker) is None
    assert backend.receive(worker) == []
    assert backend.list_jobs().total == 0


@pytest.mark.minion(193)
def test_a_reset_of_the_locks_leaves_jobs_and_workers(backend: Backend) -> None:
    job_id = populate(backend)
    jobs, workers, _, _ = everything(backend)

    backend.reset(locks=True)

    assert everything(backend)[:3] == (jobs, workers, [])
    assert backend.lock("foo", 3600)
    assert backend.enqueue("foo") > job_id
