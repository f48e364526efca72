"""The doorbell of the file backend: what it costs those who ring, and what it never disturbs."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from spoolq.files import doorbell
from spoolq.files.fs import Filesystem
from spoolq.files.store import FileBackend
from tests.support import FakeClock


def backend_at(tmp_path: Path, clock: FakeClock) -> FileBackend:
    return FileBackend(str(tmp_path / "spool"), clock=clock, durability="none")


def test_nobody_touches_anything_where_nobody_waits(tmp_path: Path, clock: FakeClock) -> None:
    backend = backend_at(tmp_path, clock)
    touched: list[str] = []
    backend._fs.sys_utime = touched.append

    backend.enqueue("foo")

    assert touched == []
    assert os.listdir(tmp_path / "spool" / "wakeup") == []


def test_one_touch_rings_for_all_who_wait(tmp_path: Path, clock: FakeClock) -> None:
    backend = backend_at(tmp_path, clock)
    bells = [backend.doorbell(["default"]) for _ in range(2)]
    touched: list[str] = []

    def touch(path: str) -> None:
        touched.append(path)
        os.utime(path)

    backend._fs.sys_utime = touch

    backend.enqueue("foo")

    for bell in bells:
        poll = select.poll()
        poll.register(bell.fileno(), select.POLLIN)
        assert poll.poll(5000)
        bell.close()
    assert touched == [str(tmp_path / "spool" / "wakeup" / "default")]


def test_a_file_dropped_by_hand_rings_and_looking_does_not(
    tmp_path: Path, clock: FakeClock
) -> None:
    backend = backend_at(tmp_path, clock)
    bell = backend.doorbell(["default"])
    poll = select.poll()
    poll.register(bell.fileno(), select.POLLIN)
    worker = backend.register_worker()
    backend.dequeue(worker)
    assert not poll.poll(100)

    (tmp_path / "spool" / "inactive" / "1.json").write_text('{"task": "foo"}')

    assert poll.poll(5000)
    bell.close()


def test_where_nothing_can_be_watched_the_bell_says_so(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "_observe", lambda *_: None)
    bell = backend_at(tmp_path, clock).doorbell(["default"])

    assert not bell.hears
    bell.close()


def test_a_spool_on_a_file_server_is_not_asked_to_ring(tmp_path: Path, clock: FakeClock) -> None:
    class Remote(Filesystem):
        def __init__(self, root: str, **options: bool) -> None:
            super().__init__(root, **options)
            self.local = False

    backend = FileBackend(
        str(tmp_path / "spool"), clock=clock, durability="none", filesystem=Remote
    )
    bell = backend.doorbell(["default"])

    assert not bell.hears
    assert os.listdir(tmp_path / "spool" / "wakeup") == []
    bell.close()
