"""`spoolq schedule`: Minion's flags, and what is ours beside them [435-440]."""

from __future__ import annotations

import json
import time

import pytest

from spoolq import Spool
from spoolq.files.store import FileBackend
from tests.cli.conftest import Shell
from tests.support import FakeClock


def overdue(shell: Shell, name: str = "busy") -> None:
    """A schedule that has been due for an hour."""
    clock = FakeClock(time.time() - 3600)
    FileBackend(str(shell.root), clock=clock, durability="none").schedule(name, "* * * * *", "t")


@pytest.mark.minion(435)
def test_storing_prints_the_id_also_when_it_replaces(shell: Shell) -> None:
    assert shell.ok("schedule", "-e", "nightly", "-c", "0 3 * * *", "-t", "cleanup") == "1"
    assert shell.ok("schedule", "-e", "nightly", "-c", "@daily", "-t", "cleanup") == "1"
    assert shell.json("schedule", "nightly")["cron"] == "@daily"


def test_every_option_of_a_job_and_of_a_schedule_is_stored(shell: Shell) -> None:
    shell.ok(
        "schedule", "-e", "nightly", "-c", "0 3 * * *", "-t", "cleanup", "-a", '[1, "x"]',
        "--kwargs", '{"deep": true}', "-A", "3", "-E", "10m", "-n", '{"by": "cron"}', "-p", "5",
        "-q", "important", "-x", "1", "--timeout", "30s", "--tz", "Europe/Berlin",
        "--catch-up", "all", "--overlap", "skip", "--jitter", "5m",
    )  # fmt: skip

    found = shell.json("schedule", "nightly")
    expected = {
        "args": [1, "x"], "kwargs": {"deep": True}, "attempts": 3, "expire": 600,
        "notes": {"by": "cron"}, "priority": 5, "queue": "important", "lax": True, "timeout": 30,
        "tz": "Europe/Berlin", "catch_up": "all", "overlap": "skip", "jitter": 300,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected


@pytest.mark.minion(436)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-e", "x", "-t", "t"], "Cron expression is required (-c)."),
        (["-e", "x", "-c", "@daily"], "Task is required (-t)."),
        (["-e", "x", "-c", "* * *", "-t", "t"], "expected 5 fields"),
        (["-e", "x", "-c", "*/0 * * * *", "-t", "t"], 'Invalid step "0" in minute field'),
        (["-e", "x", "-c", "0 0 31 2 *", "-t", "t"], "No matching time found"),
        (["-e", "x", "-c", "@daily", "-t", "t", "-a", "{}"], "-a must be a JSON array"),
        (["-e", "x", "-c", "@daily", "-t", "t", "-a", "["], "-a is not JSON"),
        (["-e", "x", "-c", "@daily", "-t", "t", "-x", "2"], "write -x 1 or -x 0"),
        (["-e", "x", "-c", "@daily", "-t", "t", "--tz", "Berlin"], "did you mean 'Europe/Berlin'"),
        (["-e", "x", "-c", "@daily", "-t", "t", "--catch-up", "some"], "catch_up must be one of"),
        (["-e", "x", "-c", "@daily", "-t", "t", "--jitter", "soon"], "soon"),
        (["-e", "x", "-P", "y"], "one thing at a time"),
        (["-d", "nightly"], "one thing at a time"),
        (["-t", "t"], "--task goes with -e NAME"),
        (["--next", "3"], "of which schedule?"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_stored(
    shell: Shell, words: list[str], said: str
) -> None:
    ran = shell.run("schedule", *words)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert shell.json("schedule") == []


@pytest.mark.minion(437)
def test_the_record_is_shown_as_yaml(shell: Shell) -> None:
    shell.ok("schedule", "-e", "nightly", "-c", "0 3 * * *", "-t", "cleanup", "-a", '["a: b"]')

    lines = shell.ok("schedule", "nightly").splitlines()
    assert lines[0] == "---"
    keys = [line.partition(":")[0] for line in lines[1:]]
    assert keys == sorted(keys)
    for line in ('args: ["a: b"]', 'cron: "0 3 * * *"', "last_job: ~", "paused: 0", "id: 1"):
        assert line in lines
    assert any(line.startswith("next_run: 20") and line.endswith("Z") for line in lines)


@pytest.mark.minion(437, 439)
@pytest.mark.parametrize(
    "words", [["nightyl"], ["-P", "nightyl"], ["-r", "nightyl"], ["-R", "nightyl"], ["--run", "x"]]
)
def test_an_unknown_schedule_is_exit_3_and_the_nearest_name(shell: Shell, words: list[str]) -> None:
    shell.ok("schedule", "-e", "nightly", "-c", "@daily", "-t", "cleanup")

    ran = shell.run("schedule", *words)

    assert (ran.code, ran.out) == (3, "")
    assert "Schedule does not exist." in ran.err
    assert "nightly" in ran.err


@pytest.mark.minion(438)
def test_schedules_are_listed_newest_first_and_paged(shell: Shell) -> None:
    for name in ("a", "b", "c"):
        shell.ok("schedule", "-e", name, "-c", "@daily", "-t", "cleanup")
    shell.ok("schedule", "-P", "b")

    head, *rows = [line.split("\t") for line in shell.ok("schedule").splitlines()]
    assert head == ["ID", "NAME", "TASK", "CRON", "NEXT_RUN", "PAUSED", "TZ"]
    assert [(row[0], row[1], row[5]) for row in rows] == [
        ("3", "c", "0"),
        ("2", "b", "1"),
        ("1", "a", "0"),
    ]
    assert shell.ok("schedule", "-l", "1", "-o", "1", "--output", "ids") == "2"


@pytest.mark.minion(439)
def test_pausing_resuming_and_removing_are_silent(shell: Shell) -> None:
    shell.ok("schedule", "-e", "nightly", "-c", "@daily", "-t", "cleanup")

    assert shell.ok("schedule", "-P", "nightly") == ""
    assert shell.json("schedule", "nightly")["paused"] is True
    assert shell.ok("schedule", "-r", "nightly") == ""
    assert shell.json("schedule", "nightly")["paused"] is False
    assert shell.ok("schedule", "-R", "nightly") == ""
    assert shell.run("schedule", "-R", "nightly").code == 3


@pytest.mark.minion(440)
def test_a_dispatch_prints_what_it_enqueued(shell: Shell) -> None:
    assert shell.ok("schedule", "-d") == "--- []"

    overdue(shell)
    assert shell.ok("schedule", "-d").splitlines() == ["---", "- id: 1", "  job: 1", "  name: busy"]
    assert shell.ok("schedule", "-d") == "--- []"


def test_a_job_can_be_run_now_and_once_more(shell: Shell) -> None:
    shell.ok("schedule", "-e", "nightly", "-c", "@daily", "-t", "cleanup", "-a", "[7]", "-p", "3")
    before = shell.json("schedule", "nightly")

    assert shell.ok("schedule", "--run", "nightly") == "1"
    job = shell.json("show", "1")
    assert (job["task"], job["args"], job["priority"]) == ("cleanup", [7], 3)
    assert shell.json("schedule", "nightly") == before


def test_the_next_times_are_told(shell: Shell) -> None:
    shell.ok("schedule", "-e", "nightly", "-c", "0 3 * * *", "-t", "cleanup", "--tz", "Asia/Tokyo")

    times = shell.ok("schedule", "--next", "3", "nightly").splitlines()
    assert len(times) == 3
    assert all(at.endswith("T18:00:00Z") for at in times)


def test_process_dispatches_what_is_due_and_performs_it(shell: Shell) -> None:
    program = shell.root / "jobs" / "t"
    Spool(shell.root, durability="none")
    program.write_text("#!/bin/sh\necho done\n")
    program.chmod(0o700)
    overdue(shell)

    shell.ok("process")

    assert [job["state"] for job in json.loads(shell.run("list", "-a", "--json").out)] == [
        "finished"
    ]


def test_doctor_says_which_declaration_has_vanished(shell: Shell) -> None:
    settings = shell.root / "spoolq.toml"
    Spool(shell.root, durability="none")
    settings.write_text('[schedules.nightly]\ncron = "@daily"\ntask = "t"\n')
    shell.run("process")
    assert shell.json("schedule", "nightly")["declared"] == "spoolq.toml"

    settings.write_text("")
    assert shell.run("process").err == ""  # cron would send a mail a minute
    assert "'nightly' is no longer declared in spoolq.toml" in shell.run("doctor").out


def test_a_declaration_that_is_wrong_is_told_and_stops_nothing(shell: Shell) -> None:
    Spool(shell.root, durability="none")
    (shell.root / "spoolq.toml").write_text(
        '[schedules.bad]\ncron = "* *"\ntask = "t"\n[schedules.good]\ncron = "@daily"\ntask = "t"\n'
        '[schedules.odd]\ncron = "@daily"\ntask = "t"\ncolour = "red"\n'
    )
    shell.ok("enqueue", "t")
    told = shell.run("process").err

    assert "the schedule 'bad'" in told
    assert "expected 5 fields" in told
    assert "unknown key 'colour'" in told
    assert shell.ok("schedule", "--output", "ids") == "1"
    assert "expected 5 fields" in shell.run("doctor").out
