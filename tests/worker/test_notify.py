"""What systemd is told, and how the log looks."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolq import Spool, journal, notify
from spoolq.loop.plan import Terms
from tests.support import wait_for
from tests.worker.conftest import Running

pytestmark = pytest.mark.slow


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield listening


def test_a_service_says_that_it_is_ready_what_it_does_and_that_it_stops(
    systemd: socket.socket,
) -> None:
    spool = Spool("memory:")

    spool.worker().run(Terms(burst=True))
    said = [systemd.recv(4096).decode()]
    while said[-1] != "STOPPING=1":
        said.append(systemd.recv(4096).decode())

    assert said[0] == "READY=1"
    assert said[1] == "STATUS=0 of 5 slots busy, 0 jobs performed"
    assert said[-1] == "STOPPING=1"


def test_the_watchdog_is_fed_from_the_main_loop(
    systemd: socket.socket, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    running(Spool("memory:"))
    fed = 0

    while fed < 3:
        fed += systemd.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("micros", "pid", "seconds"),
    [
        ("3000000", None, 1.5),
        ("", None, None),
        ("x", None, None),
        ("0", None, None),
        ("9", 1, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks_for(
    monkeypatch: pytest.MonkeyPatch, micros: str, pid: int | None, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", micros)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(pid))

    assert notify.watchdog_interval() == seconds


def test_a_reload_says_when_it_began(systemd: socket.socket) -> None:
    assert notify.reloading()
    first, second = systemd.recv(4096).decode().splitlines()

    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_is_told_where_nobody_listens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert not notify.notify("READY=1")


# -- the log -------------------------------------------------------------------------------------


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logger = logging.getLogger("spoolq")
    before = (logger.handlers, logger.propagate, logger.level)
    yield io.StringIO()
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def perform(task: str = "noop") -> None:
    spool = Spool("memory:")
    spool.add_task("noop", lambda: None)
    spool.add_task("bad", lambda: 1 / 0)
    spool.add_task("red\x1b[31m", lambda: None)
    spool.enqueue(task)
    spool.worker().run(Terms(burst=True))


@pytest.mark.minion(431)
def test_a_worker_says_when_it_starts_and_stops_and_which_job_runs_where(
    stream: io.StringIO,
) -> None:
    journal.set_up("text", "debug", stream)

    perform()

    lines = [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]
    pid = os.getpid()
    assert lines[0] == f"INFO Worker {pid} started"
    assert lines[-1] == f"INFO Worker {pid} stopped"
    assert lines[1].startswith("DEBUG Process ")
    assert lines[1].endswith(" is performing job 1 with task noop")


def test_a_log_of_json_has_an_object_a_line_with_the_fields_of_the_job(
    stream: io.StringIO,
) -> None:
    journal.set_up("json", "info", stream)

    perform("bad")

    failed = [
        entry
        for line in stream.getvalue().splitlines()
        if (entry := json.loads(line)).get("event") == "fail"
    ]
    [entry] = failed
    assert {key: entry[key] for key in ("level", "job", "task", "queue", "attempt", "worker")} == {
        "level": "info",
        "job": 1,
        "task": "bad",
        "queue": "default",
        "attempt": 1,
        "worker": 1,
    }
    assert 0 < entry["duration"] < 60


def test_each_line_for_the_journal_has_its_priority_and_no_time(stream: io.StringIO) -> None:
    journal.set_up("journal", "debug", stream)
    logging.getLogger("spoolq").error("one\ntwo")

    perform()

    lines = stream.getvalue().splitlines()
    assert lines[0] == "<3>one\\ntwo"
    assert lines[1] == f"<6>Worker {os.getpid()} started"
    assert all(line[0] == "<" for line in lines)


def test_a_name_of_a_task_does_not_steer_the_terminal(stream: io.StringIO) -> None:
    journal.set_up("text", "debug", stream)

    perform("red\x1b[31m")

    assert "\x1b" not in stream.getvalue()
    assert "red\\x1b[31m" in stream.getvalue()


def test_the_journal_is_told_apart_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "err").open("w") as file, (tmp_path / "other").open("w") as other:
        status = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

        assert journal.is_journal(file)
        assert not journal.is_journal(other)
    assert not journal.is_journal(io.StringIO())
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not journal.is_journal(sys.__stderr__ or io.StringIO())


def test_the_worker_stops_in_good_order_outside_of_the_main_thread(stream: io.StringIO) -> None:
    journal.set_up("text", "info", stream)
    worker = Spool("memory:").worker()
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    wait_for(lambda: worker.info() is not None)

    worker.stop()
    thread.join(5)

    assert not thread.is_alive()
    assert "stopped" in stream.getvalue()
