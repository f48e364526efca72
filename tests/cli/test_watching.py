"""`-f` and `-W`: whoever stays with a job gets its output and its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolq.cli.autostart import is_served
from tests.cli.conftest import SPOOLQ, Shell
from tests.support import wait_for


@pytest.fixture
def served(shell: Shell) -> Iterator[Shell]:
    """A shell whose spool has a worker."""
    worker = shell.popen("worker", "--grace", "0", stderr=subprocess.DEVNULL)
    wait_for(lambda: (shell.root / "workers").exists() and is_served(str(shell.root), "default", 0))
    yield shell
    worker.send_signal(signal.SIGTERM)
    worker.communicate()


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("exit 126", 126)]
)
def test_the_exit_code_is_the_jobs_own(served: Shell, line: str, code: int) -> None:
    followed = served.run("add", "-f", "-c", f"echo hi; {line}")
    waited = served.run("add", "-W", "-c", f"echo hi; {line}")

    assert (followed.code, followed.out, followed.err) == (code, "hi\n", "1\n")
    assert (waited.code, waited.out, waited.err) == (code, "2\n", "")


def test_a_program_that_cannot_be_started_is_126_or_127(served: Shell) -> None:
    (served.root.parent / "data").write_text("no program")

    missing = served.run("add", "-W", "no-such-program", "x")
    data = served.run("add", "-W", "./data")
    unknown = served.run("add", "-W", "-C", "/", "./no-such-program")

    assert (missing.code, data.code, unknown.code) == (127, 126, 127)


def test_who_waits_no_longer_exits_124_and_the_job_goes_on(shell: Shell) -> None:
    ran = shell.run("add", "-W", "--wait-timeout", "0.05", "true")

    assert (ran.code, ran.out) == (124, "1\n")
    assert ran.err.endswith(
        "spoolq: job 1 has not ended after 0.05 s and goes on: spoolq logs -f 1\n"
    )
    assert shell.json("show", "1")["state"] == "inactive"


def test_who_waits_for_a_job_that_is_removed_exits_125(shell: Shell) -> None:
    watching = shell.popen("enqueue", "-W", "task")
    wait_for(lambda: any(shell.root.glob("inactive/default/0/*/1.*")))

    shell.ok("remove", "1")
    out, err = watching.communicate()

    assert (watching.returncode, out) == (125, b"1\n")
    assert b"job 1 was removed" in err


def test_ctrl_c_stops_the_watching_and_not_the_job(shell: Shell) -> None:
    words = [*SPOOLQ, "enqueue", "-f", "task"]
    with subprocess.Popen(words, env=shell.env, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline() == "1\n"
        wait_for(lambda: _handles_alarm(watching.pid))
        watching.send_signal(signal.SIGINT)
        said = watching.stderr.read()

    assert watching.returncode == 130
    # With warnings on, Python may have a word about the import that Ctrl-C came into.
    assert said.endswith("spoolq: stopped watching; job 1 goes on: spoolq logs -f 1\n"), said
    assert shell.json("show", "1")["state"] == "inactive"


def test_ctrl_c_in_an_import_that_executes_text_still_exits_with_130(tmp_path: Path) -> None:
    # Python remembers a KeyboardInterrupt that leaves exec() of a text, and one that was started
    # with -m kills itself with SIGINT when it ends, whoever has caught it.
    program = tmp_path / "program.py"
    program.write_text(
        "import spoolq.cli as cli\n"
        "def interrupted(words):\n"
        "    exec('raise KeyboardInterrupt')\n"
        "cli._spoolq = interrupted\n"
        "cli.main()\n"
    )

    ran = subprocess.run([sys.executable, "-m", "program"], cwd=tmp_path, check=False)

    assert ran.returncode == 130


def _status(pid: int) -> bytes:
    with open(f"/proc/{pid}/status", "rb") as file:
        return file.read()


def _handles_alarm(pid: int) -> bool:
    """Whether it has come so far as to watch."""
    [caught] = [line.split()[1] for line in _status(pid).splitlines() if line.startswith(b"SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGALRM - 1) & 1)
