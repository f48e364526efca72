"""`process`: everything due, then back."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Shell
from tests.support import wait_for

if TYPE_CHECKING:
    from pathlib import Path


def test_a_job_of_a_cron_line_ends_with_its_status_output_and_result(shell: Shell) -> None:
    shell.add_executable(
        "report.job", 'echo "hello $1"; echo \'{"rows": 3}\' >"$SPOOLQ_RESULT_FILE"'
    )
    shell.ok("enqueue", "report", "world")

    assert shell.ok("process") == ""

    job = shell.json("show", "1")
    assert (job["state"], job["result"]) == ("finished", {"rows": 3})
    assert job["exit"] == {"code": 0, "signal": None, "reason": "exited"}
    assert shell.ok("logs", "1") == "hello world"


def test_a_failure_is_kept_with_its_status_and_its_last_words(shell: Shell) -> None:
    shell.add_executable("broken", "echo no such luck >&2; exit 7")
    shell.ok("enqueue", "broken")

    assert shell.ok("process") == ""

    job = shell.json("show", "1")
    assert job["state"] == "failed"
    assert job["exit"]["code"] == 7
    assert job["result"] == {
        "type": "ExitStatus",
        "message": "exit status 7",
        "output": "no such luck",
    }


def test_with_fail_a_failed_job_is_exit_code_1(shell: Shell) -> None:
    shell.add_executable("broken", "exit 7")
    shell.add_executable("fine", "exit 0")

    shell.ok("enqueue", "fine")
    assert shell.run("process", "--fail").code == 0
    shell.ok("enqueue", "broken")
    assert shell.run("process", "--fail").code == 1


def test_nothing_to_do_is_quiet_and_fine(shell: Shell) -> None:
    assert shell.json("process") == {"performed": 0, "failed": 0}


def test_a_failed_job_with_tries_left_waits_for_its_next_one(shell: Shell) -> None:
    shell.add_executable("flaky", "exit 75")
    shell.ok("enqueue", "-A", "3", "flaky")

    assert shell.json("process") == {"performed": 1, "failed": 1}

    job = shell.json("show")
    assert (job["state"], job["attempts"], job["retries"]) == ("inactive", 2, 1)
    assert job["history"][0]["exit"]["code"] == 75


def test_what_nobody_here_can_perform_stays_inactive(shell: Shell) -> None:
    shell.ok("enqueue", "python.task")

    assert shell.json("process")["performed"] == 0

    assert shell.json("show")["state"] == "inactive"


def test_children_run_in_the_same_turn_and_delayed_jobs_do_not(shell: Shell) -> None:
    shell.add_executable("fine", "exit 0")
    shell.ok("enqueue", "fine")
    shell.ok("enqueue", "-P", "1", "fine")
    shell.ok("enqueue", "-d", "1h", "fine")

    assert shell.json("process", "-j", "2")["performed"] == 2

    assert [job["state"] for job in shell.json("list")] == ["inactive", "finished", "finished"]


def test_only_the_queues_asked_for_are_served(shell: Shell) -> None:
    shell.add_executable("fine", "exit 0")
    for queue in ("default", "mail", "gpu"):
        shell.ok("enqueue", "-q", queue, "fine")

    assert shell.json("process", "-q", "mail", "-q", "gpu")["performed"] == 2

    assert [job["queue"] for job in shell.json("list", "-S", "inactive")] == ["default"]


def test_a_limit_ends_the_turn(shell: Shell) -> None:
    shell.add_executable("fine", "exit 0")
    for _ in range(3):
        shell.ok("enqueue", "fine")

    assert shell.json("process", "--limit", "2")["performed"] == 2


def test_j_runs_that_many_at_once(shell: Shell) -> None:
    # Each waits until it has seen the other: one at a time would never end.
    shell.add_executable(
        "meet", 'touch "$SPOOLQ_ROOT/../$1"; until [ -e "$SPOOLQ_ROOT/../$2" ]; do sleep 0.01; done'
    )
    shell.ok("enqueue", "-t", "20", "meet", "a", "b")
    shell.ok("enqueue", "-t", "20", "meet", "b", "a")

    assert shell.json("process", "-j", "2") == {"performed": 2, "failed": 0}


@pytest.mark.slow
def test_several_at_once_perform_every_job_once(shell: Shell, tmp_path: Path) -> None:
    shell.add_executable("count", 'echo "$SPOOLQ_JOB_ID" >>"$1"')
    for _ in range(12):
        shell.ok("enqueue", "count", str(tmp_path / "counted"))

    turns = [shell.popen("process", "-j", "2") for _ in range(3)]
    assert [turn.wait(60) for turn in turns] == [0, 0, 0]
    for turn in turns:
        turn.communicate()

    counted = Counter((tmp_path / "counted").read_text().split())
    assert counted == {str(number): 1 for number in range(1, 13)}
    assert {job["state"] for job in shell.json("list")} == {"finished"}


def test_a_timeout_ends_the_program(shell: Shell) -> None:
    shell.add_executable("slow", "sleep 60")
    shell.ok("enqueue", "-t", "0.2", "slow")

    shell.ok("process")

    job = shell.json("show")
    assert (job["state"], job["exit"]["reason"]) == ("failed", "timeout")


def test_term_ends_the_running_job_and_starts_no_other(shell: Shell) -> None:
    shell.add_executable("slow", "echo started; sleep 60")
    shell.ok("enqueue", "slow")
    shell.ok("enqueue", "slow")
    turn = shell.popen("process")
    log = shell.root / "logs" / "0" / "1.0.log"
    wait_for(lambda: log.exists() and log.read_text())

    turn.send_signal(signal.SIGTERM)

    assert turn.wait(20) == 128 + signal.SIGTERM
    turn.communicate()
    second, first = shell.json("list")
    assert (first["state"], first["exit"]["signal"]) == ("failed", signal.SIGTERM)
    assert second["state"] == "inactive"
    assert not list((shell.root / "workers").iterdir())


def test_a_killed_process_leaves_a_job_that_the_next_one_fails(
    shell: Shell, tmp_path: Path
) -> None:
    shell.add_executable("slow", f"echo $$ >{tmp_path}/pid; exec sleep 60")
    shell.ok("enqueue", "slow")
    turn = shell.popen("process")
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and pid.read_text())

    turn.kill()
    turn.communicate()
    shell.ok("process")

    job = shell.json("show")
    assert (job["state"], job["result"]) == ("failed", "Worker went away")
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_an_ignored_sigchld_does_not_turn_failures_into_success(shell: Shell) -> None:
    shell.add_executable("broken", "exit 7")
    shell.ok("enqueue", "broken")

    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    turn = shell.popen("process", preexec_fn=ignore)
    turn.communicate()

    assert turn.returncode == 0
    assert shell.json("show")["exit"]["code"] == 7


def test_repair_says_nothing_or_counts(shell: Shell) -> None:
    assert shell.ok("repair") == ""
    assert shell.json("repair")["inactive_jobs"] == 0
