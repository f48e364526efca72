"""`lock`, `unlock`, `locks`: flock and sem over hosts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from spoolq import Spool
from tests.cli.conftest import Shell
from tests.support import wait_for


@pytest.fixture
def spool(shell: Shell) -> Spool:
    return Spool(shell.root, durability="none")


@pytest.mark.parametrize("code", [0, 1, 7, 126])
def test_the_exit_code_is_the_commands(shell: Shell, spool: Spool, code: int) -> None:
    ran = shell.run("lock", "x", "--", "sh", "-c", f"echo out; echo err >&2; exit {code}")

    assert (ran.code, ran.out, ran.err) == (code, "out\n", "err\n")
    assert not spool.is_locked("x")


def test_a_command_that_a_signal_ended_is_128_and_its_number(shell: Shell) -> None:
    assert shell.run("lock", "x", "--", "sh", "-c", "kill -9 $$").code == 137


def test_a_program_that_is_not_there_is_127_and_one_that_cannot_run_126(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no program")

    assert shell.run("lock", "x", "no-such-program").code == 127
    assert shell.run("lock", "x", str(tmp_path / "text")).code == 126


def test_it_is_held_while_the_command_runs_and_its_options_reach_it(
    shell: Shell, spool: Spool
) -> None:
    ran = shell.run(
        "lock",
        "x",
        "--ttl",
        "60",
        "--",
        "sh",
        "-c",
        'echo "$1"; ls "$2"/locks',
        "-",
        "-l",
        str(shell.root),
    )

    assert ran.out == "-l\nx\n"


@pytest.mark.parametrize("words", [["-n", "x"], ["x", "-n"], ["x", "--no-wait"]])
def test_a_lock_that_is_held_is_4_for_who_does_not_wait(
    shell: Shell, spool: Spool, words: list[str]
) -> None:
    spool.lock("x", 60)

    ran = shell.run("lock", *words, "--", "echo", "ran")

    assert (ran.code, ran.out, ran.err) == (4, "", "spoolq: lock x is held; spoolq locks\n")


def test_who_waited_long_enough_is_124(shell: Shell, spool: Spool) -> None:
    spool.lock("x", 60)

    assert shell.run("lock", "x", "--timeout", "0.05", "--", "true").code == 124


def test_as_many_as_the_limit_says_may_hold_it(shell: Shell, spool: Spool) -> None:
    spool.lock("x", 60)

    assert shell.run("lock", "x", "-n", "--limit", "2", "--", "true").code == 0
    assert shell.run("lock", "--limit=2", "x", "-n", "true").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["x"],
        [],
        ["x", "--limit", "0", "--", "true"],
        ["x", "--limit", "many", "--", "true"],
        ["x", "--ttl"],
        ["x", "--ttl", "0", "--", "true"],
        ["x", "--ttl", "soon", "--", "true"],
        ["x", "--what", "--", "true"],
    ],
)
def test_what_is_no_lock_is_2(shell: Shell, words: list[str]) -> None:
    assert shell.run("lock", *words).code == 2


def test_a_lock_without_a_command_is_kept_for_its_time(shell: Shell, spool: Spool) -> None:
    hold = shell.ok("lock", "--ttl", "1h", "x")

    assert shell.run("lock", "--ttl", "1h", "x").code == 4
    assert shell.ok("locks", "-o", "ids") == hold
    shell.ok("unlock", "x")
    assert not spool.is_locked("x")


def test_unlock_of_what_nobody_holds_is_3(shell: Shell, spool: Spool) -> None:
    spool.lock("x", 60)

    assert shell.run("unlock", "y").code == 3
    assert shell.run("unlock", "x", "--id", "99").code == 3
    assert shell.run("unlock", "x").code == 0


def test_locks_are_listed_by_name(shell: Shell, spool: Spool) -> None:
    for name in "ab":
        spool.lock(name, 60)

    assert [lock["name"] for lock in shell.json("locks")] == ["b", "a"]
    assert [lock["name"] for lock in shell.json("locks", "a")] == ["a"]


def test_it_is_renewed_as_long_as_the_command_runs(shell: Shell, spool: Spool) -> None:
    with shell.popen("lock", "--ttl", "0.6", "x", "sh", "-c", "read x", stdin=-1) as holding:
        wait_for(lambda: spool.is_locked("x"))
        [first] = spool.locks()
        wait_for(lambda: [lock.expires > first.expires + 0.6 for lock in spool.locks()] == [True])
        assert holding.stdin is not None
        holding.stdin.close()
        holding.stdin = None

        assert holding.wait(60) == 1
    assert not spool.is_locked("x")


def test_a_lock_that_is_taken_away_ends_its_command_with_125(shell: Shell, spool: Spool) -> None:
    with shell.popen("lock", "--ttl", "0.3", "x", "sleep", "60") as holding:
        wait_for(lambda: spool.is_locked("x"))
        spool.unlock("x")

        assert holding.wait(60) == 125
        assert holding.stderr is not None
        assert b"the lock was lost" in holding.stderr.read()


def test_terminated_it_passes_the_signal_on_and_lets_go(shell: Shell, spool: Spool) -> None:
    with shell.popen(
        "lock",
        "x",
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo up; while :; do read x || sleep 0.01; done",
    ) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"up\n"
        holding.send_signal(signal.SIGTERM)

        assert holding.wait(60) == 9
    assert not spool.is_locked("x")


def test_killed_it_takes_its_command_along_and_the_lock_expires(shell: Shell, spool: Spool) -> None:
    with shell.popen("lock", "--ttl", "0.5", "x", "sh", "-c", "echo $$; exec sleep 60") as holding:
        assert holding.stdout is not None
        pid = int(holding.stdout.readline())
        holding.kill()
        holding.wait(60)

        wait_for(lambda: _is_gone(pid))
        wait_for(lambda: not spool.is_locked("x"))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may reap it here, where init is none.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
