"""`wait`: until jobs have ended, with an exit code that is true."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from spoolq import Spool
from spoolq.backend import Backend
from spoolq.cli.waiting import Waiting, progress_line, stopped, wait_for
from spoolq.model import JobInfo
from tests.cli.conftest import Shell, Terminal, make_shell
from tests.support import FakeClock
from tests.support import wait_for as wait_until
from tests.support.zygote import Zygote


@pytest.fixture(scope="module")
def ended(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Jobs 1 to 6 have ended in every way there is; 7 waits. Nobody changes them."""
    shell = make_shell(tmp_path_factory.mktemp("ended"), zygote)
    shell.add_executable("end", 'case $1 in kill) kill -9 $$;; esac; exit "$1"')
    not_executable = shell.add_executable("text", "exit 0")
    not_executable.chmod(0o644)
    (shell.root / "jobs" / "nowhere").symlink_to("/nonexistent/program")
    for words in (["0"], ["7"], ["kill"], ["5"]):
        shell.ok("enqueue", "end", *words)
    shell.ok("enqueue", "text")
    shell.ok("enqueue", "nowhere")
    shell.ok("process")
    shell.ok("enqueue", "unknown")
    return shell


@pytest.mark.parametrize(
    ("job", "code"), [("1", 0), ("2", 7), ("3", 137), ("4", 5), ("5", 126), ("6", 127)]
)
def test_one_job_gives_its_own_code(ended: Shell, job: str, code: int) -> None:
    ran = ended.run("wait", job)

    assert (ran.code, ran.out, ran.err) == (code, "", "")
    assert json.loads(ended.run("wait", "--json", job).out)["code"] == code


def test_of_several_one_that_failed_is_enough_for_1(ended: Shell) -> None:
    ran = ended.run("wait", "1", "2-4")

    assert ran.code == 1
    assert ran.out.splitlines()[0].startswith("4 jobs  1 finished  3 failed")
    assert ran.out.splitlines()[1] == "failed: 2 3 4"


def test_several_that_finished_are_0(ended: Shell) -> None:
    assert ended.run("wait", "state:finished", "1").code == 0
    assert ended.run("wait", "-q", "1", "1-1").out == ""


def test_the_time_that_is_up_is_124(ended: Shell) -> None:
    ran = ended.run("wait", "--timeout", "0", "7")

    assert (ran.code, ran.err) == (124, "spoolq: 7 not done after 0s\n")
    assert ended.run("wait", "--wait-timeout", "0.01", "1", "7").code == 124
    assert ended.run("wait", "--timeout", "0", "-q", "7").err == ""


def test_a_job_that_nobody_knows_is_3(ended: Shell) -> None:
    assert ended.run("wait", "99").code == 3
    assert ended.run("wait", "queue:gpu").code == 3


def test_a_wrong_word_is_2(ended: Shell) -> None:
    assert ended.run("wait", "x").code == 2
    assert ended.run("wait", "--timeout", "soon", "1").code == 2


def test_any_ends_with_the_first_and_fail_fast_with_the_first_failure(ended: Shell) -> None:
    assert ended.run("wait", "--any", "1", "7").code == 0
    assert ended.run("wait", "--any", "2", "7").code == 1
    assert ended.run("wait", "--fail-fast", "1", "2", "7").code == 1


def test_the_reason_is_shown_to_who_waits_at_a_terminal(ended: Shell) -> None:
    ran = Terminal(ended).run("wait", "--timeout", "0", "7")

    assert ran.code == 124
    assert ran.out.startswith("7 unknown is ready: no worker serves default (spoolq why 7)\n")


def test_it_waits_until_the_job_has_ended(shell: Shell, tmp_path: Path) -> None:
    shell.add_executable("go", "exit 3")
    shell.ok("enqueue", "go")
    with shell.popen("wait", "1") as waiting:
        shell.ok("process")

        assert waiting.wait(60) == 3


@pytest.mark.parametrize("words", [("wait", "1"), ("logs", "-f", "1")])
def test_ctrl_c_leaves_the_job_alone(shell: Shell, words: tuple[str, ...]) -> None:
    shell.ok("enqueue", "unknown")
    with shell.popen(*words) as waiting:
        wait_until(lambda: _catches_interrupts(waiting))
        waiting.send_signal(signal.SIGINT)

        assert waiting.wait(60) == 130
    assert shell.json("show", "1")["state"] == "inactive"


def test_a_job_that_is_removed_while_it_is_awaited_is_125(shell: Shell) -> None:
    shell.ok("enqueue", "unknown")
    ours, theirs = pty.openpty()
    waiting = shell.popen("wait", "1", stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"1 unknown is ready" not in seen:
        seen += os.read(ours, 4096)

    shell.ok("remove", "1")

    assert waiting.wait(60) == 125
    os.close(ours)


def _catches_interrupts(process: subprocess.Popen[bytes]) -> bool:
    """Whether Python has come so far, and has gone to sleep between two looks."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGINT - 1)) and "S (sl" in status


def test_a_job_that_is_removed_meanwhile_is_no_success(make_spool: Spool) -> None:
    spool = make_spool
    gone, there = spool.enqueue("a").id, spool.enqueue("b").id
    alone, both = Waiting([gone]), Waiting([gone, there])
    spool.backend.remove_job(gone)

    assert wait_for(spool.backend, alone)
    assert not wait_for(spool.backend, both, timeout=5, clock=FakeClock())
    assert (alone.code(), both.code()) == (125, 1)
    assert both.failed == [gone]


@pytest.fixture
def make_spool() -> Spool:
    return Spool("memory:")


def test_a_failure_that_is_retried_is_waited_for(make_spool: Spool) -> None:
    spool = make_spool
    job = spool.enqueue("a", attempts=2)
    worker = spool.worker().register()
    claimed = worker.dequeue(tasks=["a"])
    assert claimed
    claimed.fail("no")
    waiting = Waiting([job.id])

    waiting.look(spool.backend)

    assert not waiting.is_over(any_one=True, fail_fast=True)


def test_looking_takes_a_tenth_of_the_time_at_most(make_spool: Spool) -> None:
    clock = FakeClock()

    class Slow(Waiting):
        looks = 0

        def _take(self, asked: object, rows: list[JobInfo]) -> None:
            self.looks += 1
            clock.advance(2)

    waiting = Slow([make_spool.enqueue("a").id])

    assert not wait_for(make_spool.backend, waiting, timeout=100, clock=clock)
    assert waiting.looks <= 7


def test_the_progress_bar_is_drawn_as_it_was_designed() -> None:
    assert progress_line(81_904, 100_000, 12, 16, 214.2) == (
        "━━━━━━━━━━━━━━━━━━━━━━━━╸─────  81 904/100 000  ✗ 12  16 active  214/s  ~1m"
    )
    assert progress_line(0, 3, 0, 0, 0) == "╸─────────────────────────────  0/3"
    assert progress_line(3, 3, 0, 0, 0.5) == "━" * 30 + "  3/3  30/min  ~0s"


def test_wait_shows_the_end_of_what_failed(shell: Shell) -> None:
    shell.ok("add", "-c", "echo fine")
    shell.ok("add", "-c", "echo collecting; echo FAIL: test_rename; exit 1")
    shell.ok("process")

    ran = shell.run("wait", "1", "2", "--tail", "1")

    assert ran.code == 1
    assert ran.out.splitlines()[-1] == "2 | FAIL: test_rename"
    assert "fine" not in ran.out


def test_who_stops_watching_is_told_what_stops_the_job(backend: Backend) -> None:
    job_id = backend.enqueue("foo")
    [waiting] = backend.list_jobs(0, 1).rows
    backend.dequeue(backend.register_worker())
    [active] = backend.list_jobs(0, 1).rows

    assert stopped([active]).endswith(f"spoolq kill {job_id} to stop it")
    assert "remove what waits" in stopped([waiting])


def test_a_command_line_is_called_by_what_it_runs(shell: Shell) -> None:
    shell.ok("add", "make", "-j4")
    shell.ok("add", "--no-check", "x" * 200)

    assert "1 make -j4 is ready" in Terminal(shell).run("wait", "1", "--timeout", "0").out
    long = Terminal(shell).run("wait", "2", "--timeout", "0").out.splitlines()[0]
    assert long.startswith(f"2 {'x' * 30}")
    assert "x" * 41 not in long
