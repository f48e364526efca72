"""`events` and `progress`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from spoolq.cli.exits import Refused
from spoolq.cli.streaming import parse_progress
from spoolq.happenings import happenings
from tests.cli.conftest import Shell
from tests.support import FakeClock, wait_for
from tests.support.jobs import claim


@pytest.fixture
def spool(shell: Shell) -> Spool:
    return Spool(shell.root, durability="none")


def seen(text: str) -> list[tuple[str, int]]:
    found = [json.loads(line) for line in text.splitlines()]
    return [(one["event"], one["id"]) for one in found]


def play(spool: Spool) -> None:
    """1 fails, is retried and finishes; 2 waits."""
    backend = spool.backend
    worker = backend.register_worker()
    backend.enqueue("resize", ["a"], attempts=2)
    backend.fail_job(1, claim(backend, worker)["retries"], "no")
    backend.retry_job(1, 1)
    backend.finish_job(1, claim(backend, worker)["retries"], exit={"code": 0})
    backend.enqueue("send", queue="mail")


LIFE = [
    ("enqueued", 1),
    ("started", 1),
    ("failed", 1),
    ("retried", 1),
    ("started", 1),
    ("finished", 1),
    ("enqueued", 2),
]


def test_what_has_happened_is_printed_oldest_first(shell: Shell, spool: Spool) -> None:
    play(spool)

    out = shell.ok("events")

    assert seen(out) == LIFE
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert lines[2]["error"] == "no"
    assert (lines[5]["exit"], lines[5]["attempt"]) == ({"code": 0}, 3)
    assert lines[6]["queue"] == "mail"
    assert shell.json("events") == lines


def test_only_the_time_that_is_asked_for_is_told(shell: Shell, spool: Spool) -> None:
    play(spool)

    assert shell.ok("events", "--since", "0") == ""


def test_what_happens_is_told_while_it_happens(shell: Shell, spool: Spool, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    spool.enqueue("old")
    with out.open("wb") as file:
        process = shell.popen("events", "-f", "--since", "1h", stdout=file)
    try:
        wait_for(lambda: seen(out.read_text()) == [("enqueued", 1)])
        spool.backend.remove_job(1)
        wait_for(lambda: seen(out.read_text())[1:] == [("removed", 1)])
        backend = spool.backend
        backend.enqueue("resize", attempts=2)
        worker = backend.register_worker()
        job = claim(backend, worker)
        wait_for(lambda: ("started", 2) in seen(out.read_text()))
        backend.finish_job(job["id"], job["retries"])
        wait_for(lambda: ("finished", 2) in seen(out.read_text()))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    assert seen(out.read_text())[2:] == [("enqueued", 2), ("started", 2), ("finished", 2)]


def test_a_stream_without_an_end_is_no_array(shell: Shell) -> None:
    assert shell.run("events", "-f", "--json").code == 2


def test_a_job_that_nobody_took_has_failed_without_a_start() -> None:
    clock = FakeClock(1e9)
    spool = Spool("memory:", stuck_after=10)
    backend: Any = spool.backend
    backend._clock = clock
    backend.enqueue("t")
    clock.advance(60)
    backend.repair()

    job = spool.job(1)
    assert job is not None
    info: Any = job.info()
    assert [one.event for one in happenings(info)] == ["enqueued", "failed"]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["61"], (61, None, None)),
        (["61", "100"], (61, 100, None)),
        (["61%"], (61, 100, None)),
        (["61%", "compiling", "x"], (61, 100, "compiling x")),
        (["3", "7", "third", "of seven"], (3, 7, "third of seven")),
        (["2.5", "scaling"], (2.5, None, "scaling")),
    ],
)
def test_progress_is_what_was_said(words: list[str], note: tuple[Any, Any, Any]) -> None:
    done, total, message = note
    assert parse_progress(words) == {"done": done, "total": total, "message": message}


@pytest.mark.parametrize("words", [[], ["much"], ["-1"], ["nan"], ["inf"], ["1", "-2"], ["%"]])
def test_what_is_no_progress_is_refused(words: list[str]) -> None:
    with pytest.raises(Refused):
        parse_progress(words)


def test_progress_is_shown_with_the_job(shell: Shell) -> None:
    shell.ok("enqueue", "task")

    shell.ok("progress", "1", "61", "100", "scaling")

    note = shell.json("show", "1")["notes"]["progress"]
    assert note == {"done": 61, "total": 100, "message": "scaling"}
    assert shell.json("progress", "1", "5")["progress"]["done"] == 5
    assert shell.run("progress", "7", "5").code == 3
    assert shell.run("progress").code == 2
    assert shell.run("progress", "x", "5").code == 2


def test_a_job_tells_how_far_it_is_by_itself(shell: Shell) -> None:
    line = f"PYTHONPATH={shell.env['PYTHONPATH']} {sys.executable} -m spoolq progress 61% compiling"
    shell.ok("add", "-c", line)

    shell.ok("process")

    assert shell.json("show", "1")["state"] == "finished"
    assert shell.json("show", "1")["notes"]["progress"]["message"] == "compiling"
