"""Claims that are given back, and bells that ring when there may be something to claim."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from spoolq.backend import Backend, Doorbell
from spoolq.errors import InvalidType
from tests.support import FakeClock, claim, info


def test_a_claim_that_is_given_back_is_a_job_as_it_was(backend: Backend, worker: int) -> None:
    job = backend.enqueue("foo", [1], notes={"a": 1}, attempts=2)
    before = info(backend, job)
    claimed = claim(backend, worker)

    assert backend.release_job(job, claimed["retries"])

    after = info(backend, job)
    assert (after.state, after.retries, after.attempts) == ("inactive", 0, 2)
    assert (after.args, after.notes, after.history) == (before.args, before.notes, before.history)
    assert backend.stats()["active_jobs"] == 0


def test_a_job_that_was_given_back_can_be_claimed_again_and_finished(
    backend: Backend, worker: int
) -> None:
    job = backend.enqueue("foo")
    backend.release_job(job, claim(backend, worker)["retries"])

    again = claim(backend, worker)

    assert (again["id"], again["retries"]) == (job, 0)
    assert backend.finish_job(job, 0, "done")


def test_a_job_that_is_given_back_keeps_its_place_and_the_notes_it_got(
    backend: Backend, worker: int
) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    claim(backend, worker)
    backend.note(first, {"seen": True})

    assert backend.release_job(first, 0)

    assert claim(backend, worker)["id"] == first
    assert info(backend, first).notes == {"seen": True}
    assert claim(backend, worker)["id"] == second


def test_a_claim_that_is_given_back_after_the_clock_was_set_back_does_not_wait_again(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    """Thirteen of 5,000 jobs of a storm waited for fifty minutes: a server's clock had been set
    back between their claim and its release."""
    job = backend.enqueue("foo")
    claimed = claim(backend, worker)
    clock.jump(-3000)

    assert backend.release_job(job, claimed["retries"])

    assert claim(backend, worker)["id"] == job


@pytest.mark.parametrize("state", ["inactive", "finished", "other attempt", "missing"])
def test_only_the_attempt_that_runs_can_be_given_back(
    backend: Backend, worker: int, state: str
) -> None:
    job = backend.enqueue("foo")
    retries = 0
    if state == "finished":
        claim(backend, worker)
        backend.finish_job(job, 0)
    elif state == "other attempt":
        backend.retry_job(job, 0)
        claim(backend, worker)
    elif state == "missing":
        job = 999

    assert not backend.release_job(job, retries)


def test_an_outcome_after_the_claim_was_given_back_is_refused(
    backend: Backend, worker: int
) -> None:
    job = backend.enqueue("foo")
    claim(backend, worker)
    backend.release_job(job, 0)

    assert not backend.finish_job(job, 0, "late")
    assert info(backend, job).state == "inactive"


def test_outcomes_that_are_committed_together_keep_their_exit_status(
    backend: Backend, worker: int
) -> None:
    jobs = [backend.enqueue("foo") for _ in range(2)]
    for _ in jobs:
        claim(backend, worker)

    assert backend.finish_jobs([(jobs[0], 0, "a", {"code": 0}), (jobs[1], 0, "b")]) == [True, True]

    assert [info(backend, job).exit for job in jobs] == [{"code": 0}, None]


# -- the doorbell --------------------------------------------------------------------------------


@pytest.fixture
def bell(backend: Backend) -> Iterator[Doorbell]:
    bell = backend.doorbell(["default", "a/b"])
    assert bell is not None
    assert bell.hears
    yield bell
    bell.close()


def rings(bell: Doorbell, seconds: float = 5) -> bool:
    poll = select.poll()
    poll.register(bell.fileno(), select.POLLIN)
    rang = bool(poll.poll(seconds * 1000))
    bell.answer()
    return rang


@pytest.mark.parametrize("queue", ["default", "a/b"])
def test_the_bell_rings_for_a_new_job(backend: Backend, bell: Doorbell, queue: str) -> None:
    backend.enqueue("foo", queue=queue)

    assert rings(bell)


def test_the_bell_rings_for_a_batch_and_for_jobs_that_come_later(
    backend: Backend, bell: Doorbell
) -> None:
    backend.enqueue_many(["foo"] * 3)
    assert rings(bell)
    backend.enqueue("foo", delay=60)
    assert rings(bell)


def test_the_bell_rings_for_a_retry_a_child_and_a_claim_given_back(
    backend: Backend, worker: int, bell: Doorbell
) -> None:
    parent = backend.enqueue("foo")
    backend.enqueue("foo", parents=[parent])
    claim(backend, worker)
    rings(bell)
    backend.release_job(parent, 0)
    assert rings(bell)
    claim(backend, worker)
    backend.finish_job(parent, 0)
    assert rings(bell)
    backend.retry_job(parent, 0)
    assert rings(bell)


def test_a_bell_that_was_answered_is_silent(backend: Backend, bell: Doorbell) -> None:
    backend.enqueue("foo")
    rings(bell)
    rings(bell, 0.05)

    assert not rings(bell, 0.05)


def test_the_bell_knows_when_a_delayed_job_becomes_due(
    backend: Backend, worker: int, bell: Doorbell, clock: FakeClock
) -> None:
    backend.enqueue("foo", delay=60)
    assert backend.dequeue(worker) is None
    first = bell.due()
    clock.advance(20)

    assert first == pytest.approx(60, abs=0.001)
    assert bell.due() == pytest.approx(40, abs=0.001)


def test_a_wrong_queue_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidType):
        backend.doorbell("default")
