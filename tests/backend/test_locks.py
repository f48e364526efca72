"""Named locks with an expiry and a limit [167-186]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from tests.support import ODD_NAMES, FakeClock, failed_job


def expiries(backend: Backend, *names: str) -> list[float]:
    return [lock.expires for lock in backend.list_locks(names=names).rows]


@pytest.mark.minion(167)
def test_a_lock_is_taken_once(backend: Backend) -> None:
    assert backend.lock("foo", 3600) is True
    assert backend.lock("foo", 3600) is False


@pytest.mark.minion(168)
def test_a_lock_can_be_released(backend: Backend) -> None:
    assert backend.unlock("foo") is False
    backend.lock("foo", 3600)

    assert backend.unlock("foo") is True
    assert backend.unlock("foo") is False
    assert backend.lock("foo", 3600)


@pytest.mark.minion(169)
@pytest.mark.parametrize("duration", [0, -3600, -0.5])
def test_a_lock_for_no_time_is_only_a_question(backend: Backend, duration: float) -> None:
    assert backend.lock("foo", duration)
    assert backend.acquire_lock("foo", duration) == 0

    assert backend.list_locks().total == 0
    assert backend.unlock("foo") is False


@pytest.mark.minion(170)
def test_the_question_is_answered_with_no_while_the_lock_is_held(backend: Backend) -> None:
    backend.lock("foo", 3600)

    assert backend.lock("foo", -3600) is False
    assert backend.lock("foo", 0) is False
    assert backend.acquire_lock("foo", 0) is None
    backend.unlock("foo")
    assert backend.lock("foo", -3600) is True


@pytest.mark.minion(172)
def test_as_many_hold_a_lock_as_its_limit_says(backend: Backend) -> None:
    assert backend.lock("foo", 3600, limit=3)
    assert backend.lock("foo", 3600, limit=3)
    assert backend.lock("foo", -3600, limit=3)
    assert backend.lock("foo", 3600, limit=3)

    assert not backend.lock("foo", 3600, limit=3)
    assert not backend.lock("foo", -3600, limit=3)
    backend.unlock("foo")
    assert backend.lock("foo", 3600, limit=3)


@pytest.mark.minion(173)
def test_the_limit_belongs_to_the_call(backend: Backend) -> None:
    for _ in range(3):
        backend.lock("foo", 3600, limit=3)

    assert not backend.lock("foo", 3600, limit=2)
    assert not backend.lock("foo", 3600)
    assert backend.lock("foo", 3600, limit=4)


@pytest.mark.minion(174)
def test_locks_with_different_names_have_nothing_to_do_with_each_other(backend: Backend) -> None:
    assert backend.lock("foo", 3600)
    assert backend.lock("bar", 3600)

    backend.unlock("foo")

    assert not backend.lock("bar", 3600)
    assert backend.lock("foo", 3600)


@pytest.mark.minion(175)
def test_a_limit_of_zero_means_one(backend: Backend) -> None:
    assert backend.lock("foo", 3600, limit=0)
    assert not backend.lock("foo", 3600, limit=0)


@pytest.mark.minion(176)
def test_a_lock_may_be_held_for_a_fraction_of_a_second(backend: Backend, clock: FakeClock) -> None:
    assert backend.lock("foo", 1.5)

    clock.advance(1)
    assert not backend.lock("foo", 3600)
    clock.advance(1)
    assert backend.lock("foo", 3600)


@pytest.mark.minion(177)
@pytest.mark.parametrize("name", ["", *ODD_NAMES.values()], ids=["empty", *ODD_NAMES])
def test_any_string_is_the_name_of_a_lock(backend: Backend, name: str) -> None:
    assert backend.lock(name, 3600)

    assert not backend.lock(name, 3600)
    assert [lock.name for lock in backend.list_locks().rows] == [name]
    assert backend.unlock(name)
    assert backend.list_locks().total == 0


def test_long_names_that_differ_only_at_the_end_are_different_locks(backend: Backend) -> None:
    assert backend.lock("n" * 1000 + "a", 3600)
    assert backend.lock("n" * 1000 + "b", 3600)
    assert not backend.lock("n" * 1000 + "a", 3600)


@pytest.mark.minion(178)
def test_the_hold_that_expires_soonest_is_released_first(
    backend: Backend, clock: FakeClock
) -> None:
    now = clock.wall()
    for duration in (3600, 100, 7200):
        backend.lock("foo", duration, limit=3)

    backend.unlock("foo")
    assert sorted(expiries(backend, "foo")) == pytest.approx([now + 3600, now + 7200])
    backend.unlock("foo")
    assert expiries(backend, "foo") == pytest.approx([now + 7200])
    assert backend.unlock("foo")
    assert not backend.unlock("foo")


@pytest.mark.minion(179)
def test_anybody_may_release_a_lock(backend: Backend, worker: int) -> None:
    backend.acquire_lock("foo", 3600, worker=worker)

    assert backend.unlock("foo")

    assert backend.lock("foo", 3600)


@pytest.mark.minion(180)
def test_an_expired_lock_is_gone(backend: Backend, clock: FakeClock) -> None:
    backend.lock("foo", 10)
    clock.advance(9)
    assert backend.list_locks().total == 1

    clock.advance(1)

    assert backend.list_locks().rows == []
    assert backend.list_locks().total == 0
    assert backend.stats()["active_locks"] == 0
    assert backend.unlock("foo") is False
    assert backend.lock("foo", 10)


@pytest.mark.minion(180)
def test_an_expired_hold_does_not_count_towards_the_limit(
    backend: Backend, clock: FakeClock
) -> None:
    backend.lock("foo", 10, limit=2)
    backend.lock("foo", 20, limit=2)
    assert not backend.lock("foo", 10, limit=2)

    clock.advance(10)

    assert backend.lock("foo", 10, limit=2)
    assert not backend.lock("foo", 10, limit=2)


@pytest.mark.minion(183)
def test_locks_do_not_care_about_jobs_and_workers(backend: Backend, worker: int) -> None:
    backend.lock("foo", 3600)
    job_id = failed_job(backend, worker)

    backend.retry_job(job_id, 0)
    backend.unregister_worker(worker)
    backend.repair()

    assert not backend.lock("foo", 3600)


@pytest.mark.minion(185)
def test_locks_are_listed_newest_first(backend: Backend, clock: FakeClock) -> None:
    now = clock.wall()
    for name, duration in (("yada", 60), ("test", 3600), ("test", 60), ("foo", 10)):
        assert backend.lock(name, duration, limit=2)
        clock.advance(1)

    page = backend.list_locks()

    assert page["total"] == 4
    assert [lock.name for lock in page["locks"]] == ["foo", "test", "test", "yada"]
    assert [lock.expires - now for lock in page["locks"]] == pytest.approx([13, 62, 3601, 60])
    assert [lock.id for lock in page.rows] == sorted((lock.id for lock in page.rows), reverse=True)


@pytest.mark.minion(185)
def test_a_page_of_locks_knows_how_many_there_are(backend: Backend) -> None:
    for name in ("a", "b", "c", "d"):
        backend.lock(name, 60)

    page = backend.list_locks(1, 2)
    assert ([lock.name for lock in page.rows], page.total) == (["c", "b"], 4)
    page = backend.list_locks(0, 1, names=["a", "d", "missing"])
    assert ([lock.name for lock in page.rows], page.total) == (["d"], 2)
    assert backend.list_locks(names=[]).total == 0
    assert backend.list_locks(names=["missing"]).rows == []


@pytest.mark.minion(186)
def test_every_holder_is_counted(backend: Backend) -> None:
    backend.lock("foo", 3600, limit=2)
    backend.lock("foo", 3600, limit=2)
    backend.lock("bar", 3600)

    assert backend.stats()["active_locks"] == 3


# -- holds of one's own --------------------------------------------------------------------------


def test_a_hold_is_listed_under_the_id_it_was_given(backend: Backend) -> None:
    hold = backend.acquire_lock("foo", 3600)

    assert [lock.id for lock in backend.list_locks().rows] == [hold]


def test_exactly_the_hold_that_is_named_is_released(backend: Backend, clock: FakeClock) -> None:
    now = clock.wall()
    backend.acquire_lock("foo", 60, limit=2)
    mine = backend.acquire_lock("foo", 3600, limit=2)
    assert mine

    assert backend.unlock("foo", id=mine) is True

    assert expiries(backend, "foo") == pytest.approx([now + 60])
    assert backend.unlock("foo", id=mine) is False


def test_a_hold_that_expired_cannot_be_released(backend: Backend, clock: FakeClock) -> None:
    mine = backend.acquire_lock("foo", 10)
    clock.advance(10)
    assert backend.acquire_lock("foo", 10) not in (None, mine)

    assert backend.unlock("foo", id=mine) is False

    assert backend.list_locks().total == 1


def test_a_hold_is_released_under_its_own_name_only(backend: Backend) -> None:
    mine = backend.acquire_lock("foo", 3600)
    backend.acquire_lock("bar", 3600)

    assert backend.unlock("missing", id=mine) is False

    assert backend.list_locks().total == 2


@pytest.mark.minion(183)
def test_the_hold_of_a_worker_that_is_gone_is_released_by_repair(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    other = backend.register_worker()
    backend.acquire_lock("dead", 3600, worker=worker)
    backend.acquire_lock("alive", 3600, worker=other)
    backend.acquire_lock("nobody", 3600)
    clock.advance(121)
    backend.register_worker(other)
    assert backend.list_locks().total == 3

    backend.repair()

    assert [lock.name for lock in backend.list_locks().rows] == ["nobody", "alive"]
    assert backend.lock("dead", 3600)


@pytest.mark.minion(183)
def test_the_hold_of_a_worker_that_unregistered_is_released_by_repair(
    backend: Backend, worker: int
) -> None:
    backend.acquire_lock("foo", 3600, worker=worker)
    backend.unregister_worker(worker)

    backend.repair()

    assert backend.lock("foo", 3600)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": 5}, InvalidType),
        ({"name": None}, InvalidType),
        ({"duration": "long"}, InvalidType),
        ({"duration": None}, InvalidType),
        ({"duration": float("nan")}, InvalidValue),
        ({"duration": float("inf")}, InvalidValue),
        ({"limit": "2"}, InvalidType),
        ({"limit": 1.5}, InvalidType),
    ],
    ids=repr,
)
def test_a_wrong_call_takes_no_lock(
    backend: Backend, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.lock(**{"name": "foo", "duration": 60, **options})

    assert backend.list_locks().total == 0


def test_a_hold_that_is_renewed_lasts_from_then_on(backend: Backend, clock: FakeClock) -> None:
    hold = backend.acquire_lock("foo", 10)
    assert hold is not None
    clock.advance(8)

    assert backend.renew_lock("foo", hold, 10)

    clock.advance(8)
    assert not backend.lock("foo", 1)
    assert [lock.id for lock in backend.list_locks().rows] == [hold]
    clock.advance(3)
    assert backend.lock("foo", 1)


def test_a_hold_that_was_lost_cannot_be_renewed(backend: Backend, clock: FakeClock) -> None:
    expired, released = backend.acquire_lock("foo", 10), backend.acquire_lock("bar", 10)
    assert expired
    assert released
    clock.advance(11)
    backend.unlock("bar")
    other = backend.acquire_lock("foo", 10)

    assert not backend.renew_lock("foo", expired, 10)
    assert not backend.renew_lock("bar", released, 10)
    assert [lock.id for lock in backend.list_locks().rows] == [other]
