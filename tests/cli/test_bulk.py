"""Many jobs by one command: a job a line, and what becomes of a line that is none."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spoolq.cli import bulk
from spoolq.cli.context import Opened
from tests.cli.conftest import SPOOLQ, Shell
from tests.support import wait_for


def jobs(shell: Shell) -> list[Any]:
    """Every job, oldest first."""
    found: list[Any] = json.loads(shell.ok("list", "--json"))
    return found[::-1]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def test_each_line_is_the_one_argument_of_a_job(shell: Shell, lines: Path) -> None:
    lines.write_text("a b\n\n-x\n ü \nlast without an end")

    assert shell.ok("enqueue", "-q", "img", "resize", "--from", str(lines)) == "1\n2\n3\n4"

    assert [job["args"] for job in jobs(shell)] == [
        ["a b"],
        ["-x"],
        [" ü "],
        ["last without an end"],
    ]
    assert {job["queue"] for job in jobs(shell)} == {"img"}


def test_a_json_line_has_all_arguments_or_options_of_its_own(shell: Shell, lines: Path) -> None:
    lines.write_text(
        '["a", 1, {"b": null}]\n'
        '{"args": ["c"], "priority": 5, "delay": "1h", "notes": {"n": 1}}\n'
        '{"kwargs": {"lang": "de"}, "queue": "mail"}\n'
    )

    shell.ok("enqueue", "-n", "batch=7", "--from", str(lines), "task")

    first, second, third = jobs(shell)
    assert (first["args"], first["notes"]) == (["a", 1, {"b": None}], {"batch": 7})
    assert (second["args"], second["priority"]) == (["c"], 5)
    assert second["notes"] == {"batch": 7, "n": 1}
    assert second["delayed"] - second["created"] == pytest.approx(3600)
    assert (third["args"], third["kwargs"], third["queue"]) == ([], {"lang": "de"}, "mail")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"[1", "it is not JSON"),
        (b'{"arg": []}', "unknown key 'arg' (known: args, attempts"),
        (b'{"args": "x"}', "args must be a list"),
        (b'{"delay": "soon"}', "'soon' is no duration"),
        (b'{"priority": "high"}', "priority must be an integer"),
        (b'["\\ud800"]', "lone surrogate"),
        (b"[NaN]", "no such number"),
        (b"\xff", "not UTF-8 at byte 0"),
    ],
)
def test_a_bad_line_is_named_and_those_before_it_are_stored(
    shell: Shell, lines: Path, bad: bytes, why: str
) -> None:
    lines.write_bytes(b"one\ntwo\n" + bad + b"\nfour\n")

    ran = shell.run("enqueue", "task", f"--from={lines}")

    assert (ran.code, ran.out) == (2, "1\n2\n")
    assert "line 3: " in ran.err
    assert why in ran.err
    assert "2 jobs are stored, 1 to 2, those up to line 2; go on with line 3" in ran.err
    assert [job["args"] for job in jobs(shell)] == [["one"], ["two"]]


def test_lines_are_stored_chunk_by_chunk_without_a_gap(
    shell: Shell, lines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 3)
    lines.write_text("".join(f"{number}\n" for number in range(7)) + "{\n8\n")

    code = bulk.enqueue_lines(Opened(str(shell.root), "none"), {}, "task", str(lines))

    assert code == 2
    assert capsys.readouterr().out.split() == [str(number) for number in range(1, 8)]
    assert [job["args"] for job in jobs(shell)] == [[str(number)] for number in range(7)]


def test_a_full_disk_says_how_many_jobs_are_stored(shell: Shell, lines: Path) -> None:
    shell.ok("repair")
    (shell.root / "spoolq.toml").write_text(f"low_water = {9 * 10**14}\n")
    lines.write_text("a\n")

    ran = shell.run("enqueue", "task", "--from", str(lines))

    assert (ran.code, ran.out) == (5, "")
    assert "nothing is stored" in ran.err
    assert "is full" in ran.err


def test_an_interrupt_says_how_many_jobs_are_stored(shell: Shell) -> None:
    process = shell.popen("enqueue", "task", "--from", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"x\n" * (bulk.CHUNK + 1))
    process.stdin.flush()
    wait_for(lambda: any(shell.root.glob("inactive/default/0/b1-*")))

    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert process.returncode == 130
    assert len(out.split()) == bulk.CHUNK
    assert f"interrupted: {bulk.CHUNK} jobs are stored, 1 to {bulk.CHUNK}".encode() in err


def test_an_interrupt_waits_until_it_is_known_what_is_stored() -> None:
    done = []

    def store(interrupts: bulk._Interrupts) -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("stored")
        done.append("went on")

    with bulk._Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        store(interrupts)

    assert done == ["stored"]


def test_a_terminal_sees_how_far_it_is_and_no_ids(shell: Shell, lines: Path) -> None:
    lines.write_text("x\n" * 3)
    leader, terminal = pty.openpty()
    words = [*SPOOLQ, "enqueue", "task", "--from", str(lines)]

    ran = subprocess.run(words, env=shell.env, stdout=terminal, stderr=terminal, check=True)
    os.close(terminal)
    shown = os.read(leader, 4096).decode()
    os.close(leader)

    assert ran.returncode == 0
    assert "3 jobs stored" in shown
    assert "\r\n1\r\n" not in f"\r\n{shown}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue", "--from", "FILE", "task", "more"], "every line has its own arguments"),
        (["enqueue", "--from", "FILE", "--args", "[]", "task"], "every line has its own"),
        (["enqueue", "-f", "task", "--from", "FILE"], "these are many"),
        (["import"], "import what?"),
        (["import", "FILE", "FILE"], "import what?"),
    ],
)
def test_what_makes_no_sense_for_many_jobs_is_refused(
    shell: Shell, lines: Path, words: list[str], message: str
) -> None:
    lines.write_text("x\n")

    ran = shell.run(*(str(lines) if word == "FILE" else word for word in words))

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_file_that_cannot_be_read_is_told(shell: Shell) -> None:
    ran = shell.run("enqueue", "task", "--from", "no-such-file")

    assert (ran.code, ran.out) == (3, "")
    assert "cannot read no-such-file: No such file or directory" in ran.err


def test_the_ids_of_many_jobs_are_json_too(shell: Shell, lines: Path) -> None:
    lines.write_text("a\nb\n")

    assert json.loads(shell.ok("enqueue", "--json", "task", "--from", str(lines))) == {
        "ids": [1, 2]
    }


def test_a_dry_run_shows_every_job(shell: Shell, lines: Path) -> None:
    lines.write_text("a\nb\n")

    shown = shell.ok("enqueue", "--dry-run", "task", "--from", str(lines)).splitlines()

    assert [json.loads(job)["args"] for job in shown] == [["a"], ["b"]]
    assert jobs(shell) == []


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["gzip", "-9"], ["gzip", "-9", "a b"]),
        (["cp", "{}", "/tmp"], ["cp", "a b", "/tmp"]),
        (["-c", 'wc -l "$1"'], ["/bin/sh", "-c", 'wc -l "$1"', "sh", "a b"]),
    ],
)
def test_a_command_line_is_added_for_each_line(
    shell: Shell, words: list[str], argv: list[str]
) -> None:
    process = shell.popen("add", "--each-line", *words, stdin=subprocess.PIPE)

    out, _ = process.communicate(b"a b\nc\n")

    assert (process.returncode, out) == (0, b"1\n2\n")
    assert jobs(shell)[0]["args"] == argv


# -- import --------------------------------------------------------------------------------------


def listed(shell: Shell, path: Path) -> None:
    """Every job as `list -o jsonl` writes them."""
    found = json.loads(shell.ok("list", "--json"))
    path.write_text("".join(f"{json.dumps(job)}\n" for job in found))


def test_what_is_listed_can_be_imported_into_another_spool(
    shell: Shell, lines: Path, tmp_path: Path
) -> None:
    shell.ok("enqueue", "-q", "mail", "-p", "3", "-A", "4", "-n", "a=1", "-t", "9", "parent", "x")
    shell.ok("enqueue", "-P", "1", "-x", "--kwargs", '{"k": 1}', "child")
    shell.ok("enqueue", "-d", "1h", "-E", "2h", "later")
    listed(shell, lines)
    shell.env["SPOOLQ_ROOT"] = str(tmp_path / "other")
    shell.ok("enqueue", "the first one here")

    assert shell.ok("import", str(lines)) == "2\n3\n4"

    _, parent, child, later = jobs(shell)
    kept = ("task", "args", "queue", "priority", "attempts", "notes", "timeout")
    assert [parent[name] for name in kept] == ["parent", ["x"], "mail", 3, 4, {"a": 1}, 9]
    assert (child["parents"], child["lax"], child["kwargs"]) == ([2], True, {"k": 1})
    before = [json.loads(line) for line in lines.read_text().splitlines()]
    assert later["delayed"] == pytest.approx(before[0]["delayed"], abs=1)
    assert later["expires"] == pytest.approx(before[0]["expires"], abs=1)


def test_jobs_that_have_ended_are_imported_on_request_only(shell: Shell, lines: Path) -> None:
    shell.ok("add", "true")
    shell.ok("process")
    shell.ok("add", "-P", "1", "true")
    found = json.loads(shell.ok("list", "--json"))
    for job in found:
        job["kwargs"] = {}
    lines.write_text("".join(f"{json.dumps(job)}\n" for job in found))

    ran = shell.run("import", str(lines))
    again = shell.run("import", "--all", str(lines))

    assert (ran.code, ran.out) == (0, "3\n")
    assert "1 of 2 jobs were active or have ended" in ran.err
    assert (again.code, again.out, again.err) == (0, "4\n5\n", "")
    assert [job["parents"] for job in jobs(shell)[2:]] == [[], [], [4]]


@pytest.mark.parametrize(
    ("line", "code", "why"),
    [
        ("[]", 2, "no JSON object with a `task`"),
        ('{"task": ""}', 2, "task must have a name"),
        ('{"task": "x", "delayed": "soon"}', 2, "`delayed` is no time"),
        ('{"task": "exec", "kwargs": {"env": "hidden, use --show-env"}}', 2, "--show-env"),
        ('{"task": "x", "parents": [9]}', 3, "it waits for job 9"),
    ],
)
def test_an_import_with_a_bad_line_stores_nothing(
    shell: Shell, lines: Path, line: str, code: int, why: str
) -> None:
    lines.write_text('{"task": "good"}\n' + line + "\n")

    ran = shell.run("import", str(lines))

    assert (ran.code, ran.out) == (code, "")
    assert "line 2" in ran.err
    assert why in ran.err
    assert jobs(shell) == []
