"""Schedules in code: `@spool.cron`, and the rest of the Spool's own part."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from spoolq import Spool
from spoolq.errors import InvalidType, InvalidValue
from spoolq.files.store import FileBackend
from spoolq.model import ScheduleInfo
from spoolq.tasks import AsyncTask, Task
from tests.conftest import MakeBackend
from tests.support import FakeClock


@pytest.fixture
def spool(make_backend: MakeBackend) -> Spool:
    return Spool(make_backend())


def only(spool: Spool) -> ScheduleInfo:
    [info] = spool.schedules()
    return info


def test_a_decorated_function_is_a_task_and_a_schedule(spool: Spool) -> None:
    @spool.cron("0 9 * * 1-5", tz="Europe/Berlin", overlap="skip")
    def report() -> int:
        return 7

    assert isinstance(report, Task)
    assert report() == 7
    assert spool.schedules().total == 0  # importing a program stores nothing

    spool.dispatch_schedules()
    found = only(spool)
    assert (found.name, found.task, found.cron, found.tz, found.overlap) == (
        "report", "report", "0 9 * * 1-5", "Europe/Berlin", "skip",
    )  # fmt: skip


def test_a_task_keeps_its_options_and_may_have_several_schedules(spool: Spool) -> None:
    @spool.cron("@hourly", name="small", args=[1], priority=9)
    @spool.cron("@daily", name="large", args=[100])
    @spool.task(queue="mail", attempts=5, timeout=timedelta(minutes=2))
    def send(count: int) -> None: ...

    spool.dispatch_schedules()
    found = {info.name: info for info in spool.schedules()}

    assert found.keys() == {"small", "large"}
    assert [found[name].args for name in ("small", "large")] == [[1], [100]]
    assert [found[name].priority for name in ("small", "large")] == [9, 0]
    for info in found.values():
        assert (info.task, info.queue, info.attempts, info.timeout) == ("send", "mail", 5, 120)


def test_a_coroutine_function_may_be_scheduled(spool: Spool) -> None:
    @spool.cron("@daily")
    async def fetch() -> None: ...

    assert isinstance(fetch, AsyncTask)


def test_a_class_with_a_method_run_may_be_scheduled(spool: Spool) -> None:
    @spool.cron("@daily")
    class Sweep:
        def run(self) -> int:
            return 7

    spool.dispatch_schedules()
    job = spool.enqueue(only(spool).task)
    spool.perform_jobs_in_foreground()
    assert job.result(0) == 7


def test_the_jobs_of_a_schedule_obey_the_limits_of_their_task(
    spool: Spool, clock: FakeClock
) -> None:
    @spool.cron("* * * * *", args=[7])
    @spool.task(concurrency=("tenant:{tenant}", 1), rate=("api", 5, 60))
    def sync(tenant: int) -> None: ...

    spool.dispatch_schedules()
    limits = [["concurrency", "tenant:7", 1, None], ["rate", "api", 5, 60.0]]
    assert only(spool).limits == limits
    assert spool.declare_schedules().problems == []
    for _ in range(2):
        clock.advance(60)
        spool.dispatch_schedules()

    worker = spool.worker().register()
    running = worker.dequeue(0)
    assert running is not None
    info = running.info()
    assert info is not None
    assert info.limits == limits
    assert worker.dequeue(0) is None  # the second one waits for the first one's end
    running.finish()
    assert worker.dequeue(0) is not None


def test_a_task_that_is_scheduled_as_an_object_brings_its_options(spool: Spool) -> None:
    @spool.task(queue="mail", attempts=5, concurrency=("mail", 1))
    def send(at: date, *, lang: str = "en") -> None: ...

    spool.schedule("send", "@daily", send, [date(2026, 3, 29)], kwargs={"lang": "de"}, priority=2)

    found = only(spool)
    assert (found.queue, found.attempts, found.priority) == ("mail", 5, 2)
    assert (found.args, found.kwargs) == (["2026-03-29"], {"lang": "de"})
    assert found.limits == [["concurrency", "mail", 1, None]]


def test_a_schedule_whose_task_cannot_be_called_like_that_is_refused(spool: Spool) -> None:
    @spool.task
    def send(count: int) -> None: ...

    with pytest.raises(InvalidType, match="missing a required argument: 'count'"):
        spool.cron("@daily")(send)
    with pytest.raises(InvalidType, match="too many"):
        spool.schedule("send", "@daily", send, [1, 2])


@pytest.mark.parametrize("options", [{"overlpa": "skip"}, {"unique": "key"}, {"delay": 5}])
def test_an_option_that_a_schedule_has_not_is_refused(spool: Spool, options: Any) -> None:
    with pytest.raises(InvalidType, match=f"no option '{min(options)}'"):
        spool.cron("@daily", **options)
    with pytest.raises(InvalidType, match=f"no option '{min(options)}'"):
        spool.schedule("s", "@daily", "t", **options)


def test_a_unique_task_cannot_be_scheduled_and_is_told_what_to_do(spool: Spool) -> None:
    @spool.task(unique=True)
    def sync() -> None: ...

    with pytest.raises(InvalidType, match='overlap="skip"'):
        spool.cron("@daily")(sync)


def test_a_wrong_value_is_refused_where_it_stands(spool: Spool) -> None:
    with pytest.raises(InvalidValue, match="catch_up"):
        spool.cron("@daily", catch_up="x")(lambda: None)  # type: ignore[arg-type]  # the point


def test_a_second_schedule_of_a_task_needs_a_name(spool: Spool) -> None:
    with pytest.raises(InvalidValue, match="declared twice"):

        @spool.cron("0 9 * * *")
        @spool.cron("0 17 * * *")
        def report() -> None: ...


@pytest.mark.parametrize(("cron", "tz"), [("* * *", "UTC"), ("@never", "UTC"), ("@daily", "Mars")])
def test_a_wrong_declaration_is_refused_where_it_stands(spool: Spool, cron: str, tz: str) -> None:
    with pytest.raises(InvalidValue):
        spool.cron(cron, tz=tz)


def test_a_declaration_that_is_stored_is_not_stored_again(
    spool: Spool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    @spool.cron("@daily", jitter=60)
    def report() -> None: ...

    spool.declare_schedules()
    before = only(spool)
    clock.advance(1000)
    monkeypatch.setattr(type(spool.backend), "schedule", None)
    assert spool.declare_schedules().problems == []
    assert only(spool) == before


def test_a_declaration_that_changed_replaces_what_was_stored(spool: Spool) -> None:
    @spool.cron("@daily")
    def report() -> None: ...

    spool.declare_schedules()
    id_ = only(spool).id

    @spool.cron("@hourly", name="report")
    def report_now() -> None: ...  # the program as it is today

    spool.declare_schedules()
    assert (only(spool).id, only(spool).cron) == (id_, "@hourly")


def test_only_what_stood_in_this_program_is_said_to_have_vanished(spool: Spool) -> None:
    spool.schedule("by hand", "@daily", "t")
    spool.backend.schedule("other program", "@daily", "t", declared="program elsewhere")
    spool.backend.schedule("renamed", "@daily", "t", declared=f"program {__name__}")

    @spool.cron("@daily")
    def report() -> None: ...

    assert [info.name for info in spool.declare_schedules().vanished] == ["renamed"]


def test_what_the_settings_say_about_a_name_counts(make_backend: MakeBackend) -> None:
    backend = make_backend()
    spool = Spool(backend)
    if isinstance(backend, FileBackend):
        with open(f"{backend.root}/spoolq.toml", "w", encoding="utf-8") as file:
            file.write('[schedules.report]\ncron = "@hourly"\ntask = "other"\n')
        backend.reload()
        spool.use(backend)

    @spool.cron("@daily")
    def report() -> None: ...

    assert spool.declare_schedules().vanished == []
    expected = "@hourly" if isinstance(backend, FileBackend) else "@daily"
    assert only(spool).cron == expected


def test_times_may_be_timedeltas(spool: Spool) -> None:
    spool.schedule("a", "@daily", "t", jitter=timedelta(minutes=1), expire=timedelta(hours=1))

    assert (only(spool).jitter, only(spool).expire) == (60, 3600)


def test_schedules_are_listed_lazily_and_filtered(spool: Spool) -> None:
    for number in range(25):
        spool.schedule(f"s{number}", "@daily", "t")

    assert [info.name for info in spool.schedules()][:2] == ["s24", "s23"]
    assert len([*spool.schedules()]) == spool.schedules().total == 25
    assert [info.name for info in spool.schedules(names=["s3", "s7"])] == ["s7", "s3"]
