"""Schedules: what is stored, and what a dispatch makes of it [265-286]."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import ScheduleInfo
from tests.conftest import MakeBackend
from tests.support import ODD_NAMES, FakeClock, info

HOUR = 3600.0
DAY = 86400.0
NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC
EVERY_MINUTE = "* * * * *"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


def stored(backend: Backend, name: str = "nightly") -> ScheduleInfo:
    """The schedule of this name."""
    rows: list[ScheduleInfo] = backend.list_schedules(0, 1, names=[name]).rows
    assert rows, f"there is no schedule {name!r}"
    return rows[0]


def fired(backend: Backend, **options: Any) -> list[int]:
    """The jobs of one dispatch."""
    jobs = [entry["job"] for entry in backend.dispatch_schedules(**options)]
    assert all(isinstance(job, int) for job in jobs)
    return jobs


# -- storing -------------------------------------------------------------------------------------


@pytest.mark.minion(265)
def test_a_new_schedule_has_the_defaults_and_a_next_run(backend: Backend) -> None:
    id_ = backend.schedule("nightly", "0 13 * * *", "cleanup")

    found = stored(backend)
    assert found == ScheduleInfo(
        id=id_, name="nightly", cron="0 13 * * *", task="cleanup", args=[], queue="default",
        priority=0, attempts=1, lax=False, expire=None, notes={}, paused=False, created=NOON,
        last_job=None, last_run=None, next_run=NOON + HOUR,
    )  # fmt: skip


@pytest.mark.minion(266)
def test_all_options_are_stored(backend: Backend) -> None:
    given: dict[str, Any] = {
        "attempts": 3, "expire": 600, "lax": True, "notes": {"a": [1]}, "priority": 5,
        "queue": "important", "kwargs": {"deep": True}, "timeout": 30, "tz": "Europe/Berlin",
        "catch_up": "all", "overlap": "skip", "jitter": 20, "declared": "here",
    }  # fmt: skip
    backend.schedule("nightly", "0 13 * * *", "cleanup", [1, 2, 3], **given)

    found = stored(backend)
    assert {key: getattr(found, key) for key in given} == given
    assert found.args == [1, 2, 3]


@pytest.mark.minion(267)
def test_a_name_is_there_once(backend: Backend) -> None:
    first = backend.schedule("nightly", "0 13 * * *", "cleanup")
    again = backend.schedule("nightly", "0 14 * * *", "tidy", [7])

    assert again == first
    assert backend.list_schedules().total == 1
    assert (stored(backend).task, stored(backend).args) == ("tidy", [7])


@pytest.mark.minion(268)
def test_an_update_replaces_every_option_and_keeps_what_happened(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "cleanup", attempts=3, priority=5, notes={"a": 1})
    clock.advance(60)
    [job] = fired(backend)
    backend.pause_schedule("nightly")
    clock.advance(10)
    backend.schedule("nightly", EVERY_MINUTE, "cleanup")

    found = stored(backend)
    assert (found.attempts, found.priority, found.notes) == (1, 0, {})
    assert found.paused
    assert (found.created, found.last_job, found.last_run) == (NOON, job, NOON + 60)


@pytest.mark.minion(269)
def test_the_next_run_stays_with_the_text_and_is_counted_anew_without(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", "0 13 * * *", "cleanup")
    clock.advance(60)
    backend.schedule("nightly", "0 13 * * *", "tidy")
    assert stored(backend).next_run == NOON + HOUR

    backend.schedule("nightly", "*/5 * * * *", "tidy")
    assert stored(backend).next_run == NOON + 300


@pytest.mark.minion(270)
def test_declaring_the_same_once_more_does_not_lose_what_is_overdue(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", "0 13 * * *", "cleanup")
    clock.advance(2 * HOUR)
    backend.schedule("nightly", "0 13 * * *", "cleanup")
    assert stored(backend).next_run == NOON + HOUR

    backend.schedule("nightly", "0  13 * * *", "cleanup")
    assert stored(backend).next_run == NOON + HOUR + DAY
    assert fired(backend) == []


def test_another_zone_is_another_time(backend: Backend) -> None:
    backend.schedule("nightly", "0 14 * * *", "cleanup")
    backend.schedule("nightly", "0 14 * * *", "cleanup", tz="Europe/Berlin")

    assert stored(backend).next_run == NOON + HOUR


@pytest.mark.minion(271)
@pytest.mark.parametrize(
    "cron", ["* * * *", "60 * * * *", "", "@reboot", "0 0 31 2 *", ", * * * *"]
)
def test_a_wrong_expression_is_refused_before_anything_is_stored(
    backend: Backend, cron: str
) -> None:
    backend.schedule("nightly", "0 13 * * *", "cleanup")
    for name in ("nightly", "other"):
        with pytest.raises(InvalidValue):
            backend.schedule(name, cron, "tidy")

    assert backend.list_schedules().total == 1
    assert stored(backend).task == "cleanup"


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (InvalidType, {"name": 7}),
        (InvalidValue, {"name": ""}),
        (InvalidValue, {"name": "a\0b"}),
        (InvalidValue, {"name": "\ud800"}),
        (InvalidType, {"cron": 5}),
        (InvalidType, {"task": None}),
        (InvalidValue, {"task": ""}),
        (InvalidType, {"args": {"a": 1}}),
        (InvalidType, {"args": [object()]}),
        (InvalidType, {"kwargs": [1]}),
        (InvalidType, {"notes": [1]}),
        (InvalidType, {"attempts": "abc"}),
        (InvalidValue, {"attempts": -1}),
        (InvalidType, {"priority": 1.5}),
        (InvalidType, {"queue": 5}),
        (InvalidValue, {"tz": "Mars"}),
        (InvalidType, {"tz": None}),
        (InvalidValue, {"catch_up": "some"}),
        (InvalidValue, {"overlap": "never"}),
        (InvalidValue, {"jitter": -1}),
        (InvalidValue, {"jitter": 1e6}),
        (InvalidType, {"jitter": "1"}),
        (InvalidType, {"declared": 5}),
        (InvalidValue, {"timeout": 0}),
        (TypeError, {"delay": 5}),
        (TypeError, {"parents": [1]}),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_stored(
    backend: Backend, error: type[Exception], wrong: dict[str, Any]
) -> None:
    given = {"name": "nightly", "cron": EVERY_MINUTE, "task": "cleanup", **wrong}
    with pytest.raises(error):
        backend.schedule(**given)

    assert backend.list_schedules().total == 0
    assert backend.schedule("next", EVERY_MINUTE, "cleanup") == 1


@pytest.mark.minion(272)
def test_pausing_and_resuming_answer_whether_there_is_such_a_schedule(backend: Backend) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "cleanup")

    assert backend.pause_schedule("nightly")
    assert backend.pause_schedule("nightly")
    assert stored(backend).paused
    assert backend.resume_schedule("nightly")
    assert backend.resume_schedule("nightly")
    assert not stored(backend).paused
    assert not backend.pause_schedule("other")
    assert not backend.resume_schedule("other")


@pytest.mark.minion(273)
def test_a_schedule_is_removed_once_and_its_jobs_stay(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "cleanup")
    clock.advance(60)
    [job] = fired(backend)

    assert backend.unschedule("nightly")
    assert not backend.unschedule("nightly")
    assert not backend.unschedule("other")
    assert backend.list_schedules().total == 0
    assert info(backend, job).state == "inactive"


def test_a_name_that_was_removed_begins_anew(backend: Backend, clock: FakeClock) -> None:
    first = backend.schedule("nightly", EVERY_MINUTE, "cleanup")
    clock.advance(60)
    fired(backend)
    backend.unschedule("nightly")
    again = backend.schedule("nightly", EVERY_MINUTE, "cleanup")

    assert again > first
    assert stored(backend).last_job is None
    assert stored(backend).created == NOON + 60


@pytest.mark.minion(274)
def test_the_task_need_not_be_known(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "nobody knows this")
    clock.advance(60)

    [job] = fired(backend)
    assert info(backend, job).task == "nobody knows this"


@pytest.mark.minion(275)
def test_schedules_are_listed_newest_first_and_filtered(backend: Backend) -> None:
    ids = [backend.schedule(name, EVERY_MINUTE, "t") for name in ("a", "b", "c", "d")]

    def listed(*page: int, **filters: Any) -> tuple[list[str], int]:
        found = backend.list_schedules(*page, **filters)
        return [schedule.name for schedule in found["schedules"]], found["total"]

    assert listed() == (["d", "c", "b", "a"], 4)
    assert listed(1, 2) == (["c", "b"], 4)
    assert listed(names=["a", "c", "x"]) == (["c", "a"], 2)
    assert listed(ids=[ids[1], str(ids[3])]) == (["d", "b"], 2)
    assert listed(before=ids[2]) == (["b", "a"], 2)
    assert listed(before=ids[2], names=["b", "c"]) == (["b"], 1)
    assert listed(names=[]) == ([], 0)


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_name_may_be_any_text(backend: Backend, clock: FakeClock, name: str) -> None:
    backend.schedule(name, EVERY_MINUTE, "t", queue=name)
    clock.advance(60)

    [entry] = backend.dispatch_schedules()
    assert entry["name"] == stored(backend, name).name == name
    assert backend.pause_schedule(name)
    assert backend.unschedule(name)


@pytest.mark.minion(236)
def test_stats_count_schedules_that_are_paused_apart(backend: Backend) -> None:
    for name in ("a", "b", "c"):
        backend.schedule(name, EVERY_MINUTE, "t")
    backend.pause_schedule("b")

    stats = backend.stats()
    assert (stats["schedules"], stats["inactive_schedules"]) == (2, 1)


@pytest.mark.minion(5, 228)
def test_reset_forgets_schedules_and_their_ids(backend: Backend) -> None:
    backend.schedule("a", EVERY_MINUTE, "t")
    backend.reset()
    backend.reset(locks=True)
    assert backend.list_schedules().total == 1

    backend.reset(all=True)
    assert backend.list_schedules().total == 0
    assert backend.schedule("b", EVERY_MINUTE, "t") == 1


@pytest.mark.minion(227)
def test_repair_changes_no_schedule(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t")
    clock.advance(10 * DAY)
    before = stored(backend)
    backend.repair()

    assert stored(backend) == before


def test_what_a_caller_does_to_what_it_got_changes_nothing(
    backend: Backend, clock: FakeClock
) -> None:
    args: list[Any] = [[1]]
    backend.schedule("nightly", EVERY_MINUTE, "t", args, notes={"a": [1]})
    args[0].append(2)
    stored(backend).args.append(3)
    stored(backend).notes["a"] = 4
    clock.advance(60)

    [job] = fired(backend)
    assert (info(backend, job).args, info(backend, job).notes) == ([[1]], {"a": [1]})


# -- dispatching ---------------------------------------------------------------------------------


@pytest.mark.minion(276)
def test_nothing_is_dispatched_when_nothing_is_due(backend: Backend, clock: FakeClock) -> None:
    assert backend.dispatch_schedules() == []
    backend.schedule("nightly", EVERY_MINUTE, "t")
    clock.advance(59.9)

    assert backend.dispatch_schedules() == []
    assert backend.list_jobs().total == 0


@pytest.mark.minion(277)
def test_each_schedule_that_is_due_enqueues_one_job(backend: Backend, clock: FakeClock) -> None:
    ids = {name: backend.schedule(name, EVERY_MINUTE, f"t-{name}") for name in ("a", "b")}
    backend.schedule("later", "0 13 * * *", "t")
    backend.schedule("paused", EVERY_MINUTE, "t")
    backend.pause_schedule("paused")
    clock.advance(60)

    entries = backend.dispatch_schedules()
    assert [(entry["id"], entry["name"]) for entry in entries] == [
        (ids["a"], "a"),
        (ids["b"], "b"),
    ]
    assert [info(backend, int(str(entry["job"]))).task for entry in entries] == ["t-a", "t-b"]
    assert backend.list_jobs().total == 2


@pytest.mark.minion(278)
def test_a_dispatch_is_remembered_and_moves_the_next_run_on(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t")
    clock.advance(61)
    [job] = fired(backend)

    found = stored(backend)
    assert (found.last_job, found.last_run, found.next_run) == (job, NOON + 61, NOON + 120)
    assert fired(backend) == []


@pytest.mark.minion(279)
def test_missed_firings_are_not_made_up_for(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t")
    clock.advance(3 * HOUR + 1)

    assert len(fired(backend)) == 1
    assert stored(backend).next_run == NOON + 3 * HOUR + 60


@pytest.mark.minion(280)
def test_a_paused_schedule_fires_when_it_is_resumed(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t")
    backend.pause_schedule("nightly")
    clock.advance(HOUR)
    assert fired(backend) == []

    backend.resume_schedule("nightly")
    assert len(fired(backend)) == 1


@pytest.mark.minion(281)
def test_the_job_has_what_the_schedule_says(backend: Backend, clock: FakeClock) -> None:
    backend.schedule(
        "nightly",
        EVERY_MINUTE,
        "cleanup",
        [1, {"a": 2}],
        kwargs={"deep": True},
        attempts=3,
        expire=600,
        lax=True,
        notes={"by": "cron"},
        priority=7,
        queue="important",
        timeout=30,
    )
    clock.advance(90)
    [job] = fired(backend)

    found = info(backend, job)
    assert (found.task, found.args, found.kwargs) == ("cleanup", [1, {"a": 2}], {"deep": True})
    assert (found.attempts, found.lax, found.notes) == (3, True, {"by": "cron"})
    assert (found.priority, found.queue, found.timeout) == (7, "important", 30)
    assert (found.created, found.delayed, found.expires) == (NOON + 90, NOON + 90, NOON + 690)
    assert found.parents == []
    worker = backend.register_worker()
    claimed = backend.dequeue(worker, queues=["important"])
    assert claimed is not None
    assert claimed["id"] == job


@pytest.mark.minion(283, 284)
def test_of_dispatchers_at_the_same_time_one_fires_and_nobody_waits(
    backend: Backend, clock: FakeClock
) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        backend.schedule(name, EVERY_MINUTE, "t")
    clock.advance(60)
    together, found = threading.Barrier(4), list[Any]()

    def dispatch() -> None:
        together.wait()
        found.extend(backend.dispatch_schedules())

    threads = [threading.Thread(target=dispatch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(entry["name"] for entry in found) == names
    assert backend.list_jobs().total == 5


@pytest.mark.minion(286)
def test_a_schedule_fires_although_its_last_job_has_not_ended(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t")
    for _ in range(3):
        clock.advance(60)
        assert len(fired(backend)) == 1


# -- better than Minion --------------------------------------------------------------------------


def test_with_overlap_skip_nothing_fires_while_the_last_job_has_not_ended(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t", overlap="skip")
    clock.advance(60)
    [first] = fired(backend)
    clock.advance(60)
    assert fired(backend) == []  # it waits

    worker = backend.register_worker()
    backend.dequeue(worker)
    clock.advance(60)
    assert fired(backend) == []  # it runs
    assert stored(backend).next_run == NOON + 240
    assert (stored(backend).last_job, stored(backend).last_run) == (first, NOON + 60)

    backend.finish_job(first, 0)
    clock.advance(60)
    assert len(fired(backend)) == 1


def test_an_expired_job_keeps_no_schedule_from_firing(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t", overlap="skip", expire=30)
    clock.advance(60)
    fired(backend)
    clock.advance(60)

    assert len(fired(backend)) == 1


def test_catching_up_with_all_enqueues_a_job_for_each_that_was_missed(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", "*/10 * * * *", "t", catch_up="all")
    clock.advance(HOUR + 1)

    assert len(fired(backend)) == 6
    assert stored(backend).next_run == NOON + HOUR + 600
    assert fired(backend) == []


def test_catching_up_ends_with_the_latest_thousand(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t", catch_up="all")
    clock.advance(30 * DAY)

    assert len(fired(backend)) == 1000
    assert stored(backend).next_run == NOON + 30 * DAY + 60


def test_with_catch_up_none_what_is_later_than_an_interval_is_skipped(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", "0 * * * *", "t", catch_up="none")
    clock.advance(HOUR + 30)
    assert len(fired(backend)) == 1

    clock.advance(HOUR + 1)
    assert fired(backend) == []
    assert stored(backend).next_run == NOON + 3 * HOUR
    assert stored(backend).last_run == NOON + HOUR + 30

    clock.advance(HOUR + 20)
    assert len(fired(backend, interval=60)) == 1


def test_jitter_puts_each_firing_off_by_the_same_for_everybody(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    one, two = make_backend(), make_backend()
    runs = []
    for backend in (one, two):
        for name in "abcdefgh":
            backend.schedule(name, "0 13 * * *", "t", jitter=600)
        runs.append([item.next_run for item in backend.list_schedules().rows])

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 8
    assert all(NOON + HOUR <= run < NOON + HOUR + 600 for run in runs[0])
    first = min(runs[0])
    clock.advance(first - NOON - 1)
    assert fired(one) == []
    clock.advance(1)
    assert len(fired(one)) == 1
    clock.advance(600)
    assert len(fired(one)) == 7
    assert all(
        NOON + HOUR + DAY <= item.next_run < NOON + HOUR + DAY + 600
        for item in one.list_schedules().rows
    )


def test_jitter_beyond_the_period_neither_stops_nor_doubles_a_schedule(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("busy", EVERY_MINUTE, "t", jitter=300, catch_up="all")
    runs = 0
    for _ in range(60):
        clock.advance(60)
        runs += len(fired(backend))

    assert 54 <= runs <= 60


def test_a_clock_that_is_set_back_fires_nothing_twice(backend: Backend, clock: FakeClock) -> None:
    backend.schedule("nightly", "*/10 * * * *", "t")
    clock.advance(600)
    assert len(fired(backend)) == 1
    clock.jump(-HOUR)

    assert fired(backend) == []
    backend.schedule("nightly", "10 * * * *", "t")  # would be due again soon
    clock.advance(HOUR)
    assert fired(backend) == []
    clock.advance(HOUR)
    assert len(fired(backend)) == 1


def test_the_time_until_the_next_dispatch_is_known(backend: Backend, clock: FakeClock) -> None:
    assert backend.until_dispatch() is None
    backend.schedule("a", "0 13 * * *", "t")
    backend.schedule("b", "30 12 * * *", "t")
    assert backend.until_dispatch() == 1800

    clock.advance(1801)
    assert backend.until_dispatch() == -1
    backend.dispatch_schedules()
    assert backend.until_dispatch() == 1799
    backend.pause_schedule("a")
    assert backend.until_dispatch() == 1799 + 84600 - 1800 + 1800


def test_a_schedule_that_will_not_fire_for_years_is_kept_without_a_next_run(
    backend: Backend, clock: FakeClock
) -> None:
    clock.jump(datetime(2096, 2, 28, 12, tzinfo=UTC).timestamp() - NOON)
    backend.schedule("leap", "0 0 29 2 *", "t")  # 2100 is no leap year
    clock.advance(DAY)

    assert len(fired(backend)) == 1
    assert stored(backend, "leap").next_run is None
    assert backend.until_dispatch() is None
    clock.advance(DAY)
    assert fired(backend) == []


def test_a_schedule_whose_queue_is_closed_or_full_stays_due(
    backend: Backend, clock: FakeClock
) -> None:
    backend.schedule("nightly", EVERY_MINUTE, "t", queue="mail")
    backend.schedule("other", EVERY_MINUTE, "t")
    clock.advance(60)
    backend.set_queue("mail", closed=True)
    assert [entry["name"] for entry in backend.dispatch_schedules()] == ["other"]

    backend.set_queue("mail", closed=False, max_waiting=1)
    assert [entry["name"] for entry in backend.dispatch_schedules()] == ["nightly"]
    clock.advance(60)
    assert [entry["name"] for entry in backend.dispatch_schedules()] == ["other"]
    assert stored(backend).next_run == NOON + 120
