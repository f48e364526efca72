"""Schedules in code: `@spool.cron`, and the rest of the Spool's own part."""

from __future__ import annotations

from datetime import timedelta

import pytest

from spoolq import Spool
from spoolq.errors import InvalidValue
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

    spool.cron("@hourly")(report)
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
