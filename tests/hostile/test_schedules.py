"""Schedules that somebody has damaged: they are told, and keep no other one from firing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spoolq.doctor import examine
from spoolq.files.store import FileBackend
from tests.support import FakeClock


def state_of(root: Path, name: str = "nightly") -> Path:
    [found] = (root / "schedules" / name).glob("state.*")
    return found


def record_of(files: FileBackend, root: Path) -> dict[str, Any]:
    files.schedule("nightly", "* * * * *", "t")
    files.schedule("other", "* * * * *", "t")
    found: dict[str, Any] = json.loads(state_of(root).read_text())
    return found


WRONG: dict[str, Any] = {
    "id": "1", "name": "other", "cron": "* *", "tz": 5, "task": "", "args": {}, "kwargs": [],
    "queue": None, "priority": "high", "attempts": -1, "lax": "yes", "expire": "soon", "notes": [],
    "timeout": -1, "catch_up": "some", "overlap": [], "jitter": 1e9, "declared": 7, "created": None,
    "paused": 1, "occurrence": "now", "next_run": True, "last_job": 1.5, "last_run": [],
    "last_occurrence": {}, "counted": "no", "staged": "../../x",
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_a_schedule_with_a_wrong_field_neither_fires_nor_stops_another_one(
    files: FileBackend, root: Path, clock: FakeClock, field: str
) -> None:
    record = record_of(files, root)
    assert record.keys() == WRONG.keys()
    state_of(root).write_text(json.dumps({**record, field: WRONG[field]}))
    clock.advance(60)
    another = FileBackend(str(root), clock=clock, durability="none")

    assert [entry["name"] for entry in another.dispatch_schedules()] == ["other"]
    assert [info.name for info in another.list_schedules().rows] == ["other"]
    [broken] = another.broken_schedules()
    assert broken.name == "nightly"
    another.repair()


@pytest.mark.parametrize(
    "limits",
    [None, 7, {"a": 1}, [1], [[]], [["speed", "a", 1, None]], [["rate", "a", 1, -5]],
     [["rate", "a", 1]], [["concurrency", "", 1, None]], [[{}, [], "", None]]],
)  # fmt: skip
def test_a_schedule_with_wrong_limits_does_not_fire(
    files: FileBackend, root: Path, clock: FakeClock, limits: Any
) -> None:
    record = record_of(files, root)
    state_of(root).write_text(json.dumps({**record, "limits": limits}))
    clock.advance(60)
    another = FileBackend(str(root), clock=clock, durability="none")

    assert [entry["name"] for entry in another.dispatch_schedules()] == ["other"]
    assert [broken.name for broken in another.broken_schedules()] == ["nightly"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id": 1}', b"[" * 100_000, b"7"]
)
def test_a_schedule_that_cannot_be_read_is_set_aside_when_it_is_stored_anew(
    files: FileBackend, root: Path, clock: FakeClock, content: bytes
) -> None:
    record_of(files, root)
    state_of(root).write_bytes(content)
    another = FileBackend(str(root), clock=clock, durability="none")
    assert not another.pause_schedule("nightly")
    said = [one.text for section in examine(another) for one in section.findings]
    assert any("nightly" in text and "state." in text for text in said)

    another.schedule("nightly", "* * * * *", "t")

    assert another.list_schedules().total == 2
    [aside] = [name for name in os.listdir(root / "corrupt") if not name.endswith(".reason")]
    assert (root / "corrupt" / aside).read_bytes() == content
    assert another.broken_schedules() == []


def test_a_schedule_that_cannot_be_read_can_be_removed(
    files: FileBackend, root: Path, clock: FakeClock
) -> None:
    record_of(files, root)
    state_of(root).write_text("{")
    another = FileBackend(str(root), clock=clock, durability="none")

    assert another.unschedule("nightly")
    assert os.listdir(root / "schedules") == ["other"]


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_thing_in_place_of_a_state_hangs_nobody(
    files: FileBackend, root: Path, clock: FakeClock, kind: str
) -> None:
    record_of(files, root)
    state = state_of(root)
    state.unlink()
    if kind == "link":
        state.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(state)
    else:
        state.mkdir()
    clock.advance(60)
    another = FileBackend(str(root), clock=clock, durability="none")

    assert [entry["name"] for entry in another.dispatch_schedules()] == ["other"]
    assert len(another.broken_schedules()) == 1


def test_a_zone_that_this_host_does_not_know_keeps_only_its_own_schedule_from_firing(
    files: FileBackend, root: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    record = record_of(files, root)
    state_of(root).write_text(json.dumps({**record, "tz": "Mars/Olympus"}))
    clock.advance(60)
    another = FileBackend(str(root), clock=clock, durability="none")

    assert [entry["name"] for entry in another.dispatch_schedules()] == ["other"]
    assert "unknown time zone 'Mars/Olympus'" in caplog.text
    assert another.list_schedules().total == 2  # it is shown all the same
    assert another.until_dispatch() == 40  # and nobody spins because of it


def test_a_spool_older_than_schedules_takes_them(
    files: FileBackend, root: Path, clock: FakeClock
) -> None:
    os.rmdir(root / "schedules")
    [counter] = (root / "ids").glob("schedule.*")
    counter.unlink()
    another = FileBackend(str(root), clock=clock, durability="none")
    assert another.list_schedules().total == 0
    assert another.dispatch_schedules() == []

    assert another.schedule("a", "* * * * *", "t") == 1
    assert another.schedule("b", "* * * * *", "t") == 2
    assert files.schedule("c", "* * * * *", "t") == 3
