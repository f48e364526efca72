"""Schedules that are stored and removed at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoolq.files.store import FileBackend
from tests.support.faults import Call, Plan, watched

SCHEDULE = ("nightly", "0 0 * * *", "task")


class Overtaken(Plan):
    """When a schedule is about to get its name somebody else stores one, and then removes it."""

    def __init__(self, other: FileBackend) -> None:
        super().__init__()
        self._other = other
        self.times = 0

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Let it through, but for the first of these renames."""
        if call.kind != "rename" or not str(call.args[1]).endswith("/nightly") or self.times:
            return super().perform(call, execute)
        self.times = 1
        self._other.schedule(*SCHEDULE)
        try:
            return super().perform(call, execute)
        finally:
            assert self._other.unschedule("nightly")


def test_a_name_that_was_taken_and_is_free_again_is_tried_once_more(tmp_path: Path) -> None:
    """CI met it once in some hundred runs: the disk had refused, and there was nothing to see."""
    plan = Overtaken(FileBackend(str(tmp_path), durability="none"))
    mine = FileBackend(str(tmp_path), durability="none", filesystem=watched(plan))

    mine.schedule(*SCHEDULE)

    assert plan.times == 1
    assert [schedule.name for schedule in mine.list_schedules().rows] == ["nightly"]
