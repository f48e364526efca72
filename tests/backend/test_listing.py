"""Looking at jobs: order, filters, pages and totals [363-368]."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import STATES, JobInfo
from tests.support import FakeClock, claim, drain, info, job_in

MINION_FIELDS = {
    "args",
    "attempts",
    "children",
    "created",
    "delayed",
    "expires",
    "finished",
    "id",
    "lax",
    "notes",
    "parents",
    "priority",
    "queue",
    "result",
    "retried",
    "retries",
    "started",
    "state",
    "task",
    "time",
    "worker",
}


def listed(backend: Backend, *page: int, **filters: Any) -> list[int]:
    return [job.id for job in backend.list_jobs(*page, **filters).rows]


@pytest.mark.minion(363)
def test_jobs_are_listed_newest_first_whatever_their_state(backend: Backend, worker: int) -> None:
    ids = [job_in(state, backend, worker) for state in ("finished", "active", "failed")]
    ids += [backend.enqueue("foo", priority=9), backend.enqueue("foo", delay=60)]
    ids += [backend.enqueue("foo", queue="other"), backend.enqueue("foo", parents=[ids[1]])]

    assert listed(backend) == ids[::-1]


@pytest.mark.minion(363)
def test_filters_are_joined_by_and_and_their_values_by_or(backend: Backend, worker: int) -> None:
    foo = backend.enqueue("foo", queue="a", notes={"x": 1})
    bar = backend.enqueue("bar", queue="a")
    baz = backend.enqueue("baz", queue="b", notes={"y": 1})
    assert claim(backend, worker, id=bar, queues=["a"])

    assert listed(backend, tasks=["foo", "baz"]) == [baz, foo]
    assert listed(backend, queues=["a"]) == [bar, foo]
    assert listed(backend, queues=["a"], states=["inactive", "failed"]) == [foo]
    assert listed(backend, queues=["a", "b"], states=["active", "inactive"]) == [baz, bar, foo]
    assert listed(backend, tasks=["foo"], queues=["b"]) == []
    assert listed(backend, ids=[foo, bar], notes=["x", "y"]) == [foo]
    assert listed(backend, ids=[foo, baz], notes=["x", "y"], before=baz) == [foo]
    assert listed(backend, states=["inactive"], tasks=["baz"], queues=["b"], notes=["y"]) == [baz]


@pytest.mark.minion(363)
@pytest.mark.parametrize("state", STATES)
def test_each_state_lists_its_own_jobs(backend: Backend, worker: int, state: str) -> None:
    ids = {each: job_in(each, backend, worker) for each in STATES}

    assert listed(backend, states=[state]) == [ids[state]]  # type: ignore[index]
    assert info(backend, ids[state]).state == state  # type: ignore[index]


@pytest.mark.minion(364)
def test_the_total_counts_all_matches(backend: Backend) -> None:
    ids = [backend.enqueue("foo") for _ in range(4)]
    backend.enqueue("bar")

    page = backend.list_jobs(1, 1, tasks=["foo"])

    assert [job.id for job in page["jobs"]] == [ids[2]]
    assert page["total"] == page.total == 4


@pytest.mark.minion(365)
def test_the_total_is_right_on_an_empty_page_too(backend: Backend) -> None:
    backend.enqueue("foo")

    assert (backend.list_jobs(0, 0).rows, backend.list_jobs(0, 0).total) == ([], 1)
    assert (backend.list_jobs(5, 10).rows, backend.list_jobs(5, 10).total) == ([], 1)


def test_pages_follow_each_other(backend: Backend) -> None:
    ids = [backend.enqueue("foo") for _ in range(25)][::-1]

    pages = [listed(backend, offset, 10) for offset in (0, 10, 20, 30)]

    assert pages == [ids[:10], ids[10:20], ids[20:], []]


def test_a_page_has_a_hundred_jobs_unless_told(backend: Backend) -> None:
    ids = backend.enqueue_many(["foo"] * 101)

    page = backend.list_jobs()

    assert [job.id for job in page.rows] == ids[:0:-1]
    assert page.total == 101


@pytest.mark.minion(366)
def test_the_bound_is_exclusive(backend: Backend) -> None:
    ids = [backend.enqueue("foo") for _ in range(4)]

    assert listed(backend, before=ids[2]) == [ids[1], ids[0]]
    assert listed(backend, 0, 1, before=ids[2]) == [ids[1]]
    assert listed(backend, before=ids[0]) == []
    assert backend.list_jobs(before=ids[3]).total == 3


@pytest.mark.minion(366)
def test_ids_in_any_order_and_number_list_each_job_once(backend: Backend) -> None:
    ids = [backend.enqueue("foo") for _ in range(4)]

    assert listed(backend, ids=[ids[1], ids[3], ids[1], str(ids[0]), 4711, -1]) == [
        ids[3],
        ids[1],
        ids[0],
    ]
    assert backend.list_jobs(ids=[ids[1], ids[1], 4711]).total == 1
    assert listed(backend, 1, 1, ids=ids) == [ids[2]]


@pytest.mark.minion(366)
@pytest.mark.parametrize("name", ["ids", "notes", "queues", "states", "tasks"])
def test_an_empty_filter_matches_nothing(backend: Backend, name: str) -> None:
    backend.enqueue("foo", notes={"a": 1})
    empty: dict[str, Any] = {name: []}

    page = backend.list_jobs(**empty)

    assert (page.rows, page.total) == ([], 0)


@pytest.mark.minion(366)
def test_filters_may_come_from_iterators(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"a": 1})

    page = backend.list_jobs(
        ids=iter([job_id]), notes=iter("a"), queues=iter(["default"]), tasks=iter(["foo"])
    )

    assert ([job.id for job in page.rows], page.total) == ([job_id], 1)


@pytest.mark.minion(367)
@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"states": ["inactve"]}, InvalidValue),
        ({"states": ["active", ""]}, InvalidValue),
        ({"states": "active"}, InvalidType),
        ({"states": [None]}, InvalidType),
        ({"ids": ["abc"]}, InvalidValue),
        ({"ids": [None]}, InvalidType),
        ({"ids": [1.5]}, InvalidType),
        ({"ids": "12"}, InvalidType),
        ({"before": "abc"}, InvalidValue),
        ({"queues": "default"}, InvalidType),
        ({"queues": [5]}, InvalidType),
        ({"tasks": "foo"}, InvalidType),
        ({"notes": "a"}, InvalidType),
        ({"offset": -1}, InvalidValue),
        ({"limit": -1}, InvalidValue),
        ({"offset": "1"}, InvalidType),
        ({"limit": 1.5}, InvalidType),
    ],
    ids=repr,
)
def test_a_wrong_filter_is_an_error_and_no_empty_list(
    backend: Backend, filters: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.list_jobs(**filters)


@pytest.mark.parametrize("page", [(-1, 10), (0, -1)])
def test_a_page_before_the_first_is_an_error(backend: Backend, page: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue):
        backend.list_workers(*page)
    with pytest.raises(InvalidValue):
        backend.list_locks(*page)


@pytest.mark.minion(368)
def test_what_nobody_uses_lists_nothing(backend: Backend) -> None:
    backend.enqueue("foo")

    for filters in ({"queues": ["unused"]}, {"tasks": ["unused"]}, {"notes": ["unused"]}):
        page = backend.list_jobs(**filters)  # type: ignore[arg-type]
        assert (page.rows, page.total) == ([], 0)


def test_a_job_has_all_the_fields_of_the_contract(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo"))

    assert {field.name for field in fields(job)} >= MINION_FIELDS


def test_a_job_that_was_looked_up_cannot_be_changed(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo"))

    with pytest.raises(FrozenInstanceError):
        job.state = "finished"  # type: ignore[misc]


def test_a_listing_tells_the_time(backend: Backend, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo")
    clock.advance(30)

    assert info(backend, job_id).time == pytest.approx(clock.wall())


def test_a_page_is_a_mapping_of_rows_and_total(backend: Backend) -> None:
    backend.enqueue("foo")

    assert set(backend.list_jobs()) == {"jobs", "total"}
    assert set(backend.list_workers()) == {"workers", "total"}
    assert set(backend.list_locks()) == {"locks", "total"}


def test_a_job_keeps_its_worker_after_it_ended(backend: Backend) -> None:
    first, second = backend.register_worker(), backend.register_worker()
    job_id = backend.enqueue("foo")
    claim(backend, first)
    backend.fail_job(job_id, 0)
    assert info(backend, job_id).worker == first
    backend.retry_job(job_id, 0)
    assert info(backend, job_id).worker == first

    claim(backend, second)

    assert info(backend, job_id).worker == second


def test_jobs_of_a_long_list_are_all_found(backend: Backend, worker: int) -> None:
    ids = backend.enqueue_many([("foo", [number]) for number in range(300)])
    for job_id in drain(backend, worker)[:150]:
        backend.finish_job(job_id, 0)

    jobs: list[JobInfo] = backend.list_jobs(0, 1000).rows

    assert [job.id for job in jobs] == ids[::-1]
    assert [job.args for job in jobs] == [[number] for number in range(299, -1, -1)]
    assert backend.list_jobs(states=["finished"]).total == 150
    assert backend.list_jobs(states=["active"]).total == 150
