"""Every exit code of docs/cli.md, provoked."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Final

import pytest

from spoolq import Spool
from spoolq.cli import exits
from tests.cli.conftest import REPOSITORY, Shell
from tests.support import wait_for
from tests.support.jobs import claim


def active(shell: Shell) -> None:
    backend = Spool(shell.root, durability="none").backend
    backend.enqueue("exec", ["true"])
    claim(backend, backend.register_worker())


def ran(*argv: str) -> Callable[[Shell], int]:
    def run(shell: Shell) -> int:
        shell.ok("add", *argv)
        shell.ok("process")
        return shell.run("wait", "1").code

    return run


def cannot_be_run(shell: Shell) -> int:
    text = shell.root.parent / "text"
    text.write_text("no program\n")
    shell.run("add", str(text))
    shell.ok("process")
    return shell.run("wait", "1").code


def is_not_there(shell: Shell) -> int:
    shell.run("add", "no-such-program")
    shell.ok("process")
    return shell.run("wait", "1").code


def one_of_several(shell: Shell) -> int:
    shell.ok("add", "true")
    shell.ok("add", "sh", "-c", "exit 7")
    shell.ok("process")
    return shell.run("wait", "1", "2").code


def an_active_job(shell: Shell) -> int:
    active(shell)
    return shell.run("remove", "1").code


def a_job_that_does_not_run(shell: Shell) -> int:
    shell.ok("add", "true")
    return shell.run("kill", "1").code


def a_held_lock(shell: Shell) -> int:
    shell.ok("lock", "x", "--ttl", "60")
    return shell.run("lock", "x", "-n", "--", "true").code


def a_directory_of_something_else(shell: Shell) -> int:
    shell.root.mkdir()
    (shell.root / "thesis.tex").write_text("")
    return shell.run("list").code


def a_newer_format(shell: Shell) -> int:
    shell.ok("repair")
    (shell.root / "FORMAT").write_text("spoolq 99\n")
    return shell.run("count").code


def no_time_left(shell: Shell) -> int:
    active(shell)
    return shell.run("wait", "--timeout", "0.05", "1").code


def removed_while_add_waits(shell: Shell) -> int:
    waiting = shell.popen("add", "-W", "true")
    wait_for(lambda: shell.ok("count") == "1")
    shell.ok("remove", "1")
    waiting.communicate(timeout=60)
    return waiting.returncode


def interrupted(shell: Shell) -> int:
    active(shell)
    waiting = shell.popen("wait", "1")
    wait_for(lambda: _catches_int(waiting.pid))
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=60)
    return waiting.returncode


def says(*words: str) -> Callable[[Shell], int]:
    return lambda shell: shell.run(*words).code


WAYS: Final[list[tuple[int, Callable[[Shell], int]]]] = [
    (0, ran("true")),
    (0, says("list")),
    (0, says("count")),
    (1, one_of_several),
    (1, ran("false")),
    (2, says("no-such-verb")),
    (2, says("list", "--no-such-option")),
    (2, says("list", "state:no-such-state")),
    (2, says("add", "a && b")),
    (2, says("add", "-d", "soon", "true")),
    (3, says("show", "17")),
    (3, says("wait", "17")),
    (3, says("is", "failed", "17")),
    (3, says("retry", "state:failed")),
    (3, says("unlock", "nobody")),
    (4, an_active_job),
    (4, a_job_that_does_not_run),
    (4, a_held_lock),
    (5, a_directory_of_something_else),
    (5, a_newer_format),
    (7, ran("sh", "-c", "exit 7")),
    (124, no_time_left),
    (125, removed_while_add_waits),
    (126, cannot_be_run),
    (127, is_not_there),
    (137, ran("sh", "-c", "kill -9 $$")),
    (130, interrupted),
]


@pytest.mark.parametrize(
    ("code", "way"), WAYS, ids=[f"{code}-{number}" for number, (code, _) in enumerate(WAYS)]
)
def test_an_exit_code_is_what_it_is_said_to_be(
    shell: Shell, code: int, way: Callable[[Shell], int]
) -> None:
    assert way(shell) == code


def test_every_code_that_is_documented_is_provoked() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text().partition("## Exit codes")[2]
    rows = re.findall(r"^\| ([\d, +N]+) \|", text, re.MULTILINE)
    documented = {int(code) for row in rows for code in re.findall(r"\d+", row)}
    provoked = {code for code, _ in WAYS} | {exits.BY_SIGNAL}  # 128+N is 137
    elsewhere = {6}  # the tests of queues close one

    assert documented - provoked - elsewhere == set()


def _catches_int(pid: int) -> bool:
    """Whether a Python process has got as far as to handle Ctrl-C, and waits."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.rstrip("\n").split(":", 1) for line in file)
    return bool(int(fields["SigCgt"], 16) & 1 << (signal.SIGINT - 1)) and "S" in fields["State"]
