"""`spoolq worker` and `logs -f` as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from tests.cli.conftest import SPOOLQ, Shell
from tests.support import wait_for
from tests.support.ways import open_the_way

APP = """
import time
from spoolq import Spool

spool = Spool()
nothing = 7

@spool.task
def add(a, b):
    return a + b

@spool.task
def nap(seconds):
    time.sleep(seconds)

class Inner:
    spool = spool
"""


class Started:
    """A worker that was started on the command line."""

    def __init__(self, shell: Shell, *words: str, cwd: Path | None = None, **env: str) -> None:
        self.err = shell.root.parent / "worker.err"
        self._file = self.err.open("wb")
        self.process = subprocess.Popen(
            [*SPOOLQ, "worker", *words],
            env={**shell.env, **env},
            cwd=cwd or shell.root.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._file,
        )

    def ready(self) -> None:
        wait_for(lambda: b"started" in self.err.read_bytes())

    def waits(self) -> bool:
        """Whether its main thread sleeps."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._file.close()


@pytest.fixture
def start(shell: Shell) -> Iterator[Any]:
    started: list[Started] = []

    def start(*words: str, **options: Any) -> Started:
        started.append(Started(shell, *words, **options))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def app(shell: Shell) -> Path:
    path = shell.root.parent / "program.py"
    path.write_text(APP)
    return path


def state(shell: Shell, job: str) -> str:
    return str(shell.json("show", job)["state"])


@pytest.mark.minion(432)
def test_a_worker_performs_executables_and_leaves_with_0_after_int(
    shell: Shell, start: Any
) -> None:
    shell.add_executable("hello.job", 'echo "hello $1"')
    job = shell.ok("enqueue", "hello", "you")
    worker = start()
    worker.ready()

    wait_for(lambda: state(shell, job) == "finished")

    assert worker.end() == 0
    assert shell.ok("logs", job) == "hello you"


def test_an_idle_worker_ends_at_once_after_int(shell: Shell, start: Any) -> None:
    shell.ok("stats")
    worker = start()
    worker.ready()
    wait_for(lambda: len(os.listdir(shell.root / "wakeup")) == 1)
    worker.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: b"0 of 5 slots busy" in worker.err.read_bytes())
    wait_for(worker.waits)

    begun = time.monotonic()
    assert worker.end() == 0

    assert time.monotonic() - begun < 4  # and not when its wait of 5 s is over


def test_python_tasks_come_from_an_app(shell: Shell, app: Path) -> None:
    job_id = Spool(shell.root, durability="none").enqueue("add", [1, 2]).id

    ran = shell.run("worker", "--app", "program:spool", "--burst")

    assert ran.code == 0, ran.err
    assert shell.json("show", str(job_id))["result"] == 3


@pytest.mark.parametrize("name", ["program", "program:spool", "program:Inner.spool"])
def test_an_app_is_named_as_in_an_import(shell: Shell, app: Path, name: str) -> None:
    assert shell.run("worker", "--app", name, "--burst").code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:spool", "no module named 'nowhere'"),
        ("nowhere.at.all:spool", "no module named 'nowhere'"),
        ("program:missing", "there is no 'missing' in it"),
        ("program:nothing", "nothing is a int, no Spool"),
        (":spool", "write module:spool"),
        ("broken:spool", "importing it failed: ZeroDivisionError"),
        ("needy:spool", "importing it failed: No module named 'absent'"),
        ("memory:spool", "its spool is in memory"),
    ],
)
def test_an_app_that_cannot_be_used_is_an_error_that_says_why(
    shell: Shell, app: Path, name: str, said: str
) -> None:
    for module, text in {
        "broken": "1 / 0",
        "needy": "import absent",
        "memory": "from spoolq import Spool\nspool = Spool('memory:')",
    }.items():
        (app.parent / f"{module}.py").write_text(text)

    ran = shell.run("worker", "--app", name, "--burst")

    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_an_app_of_another_spool_than_the_one_asked_for_is_an_error(
    shell: Shell, app: Path, tmp_path: Path
) -> None:
    app.write_text(f"from spoolq import Spool\nspool = Spool({str(tmp_path / 'own')!r})")

    ran = shell.run("--root", str(tmp_path / "asked"), "worker", "--app", "program", "--burst")

    assert ran.code == 2
    assert str(tmp_path / "own") in ran.err


@pytest.mark.minion(433)
@pytest.mark.parametrize("limit", ["x", "x=", "=3", "x=-1", "x=y", "x=1.5"])
def test_a_malformed_limit_is_an_error(shell: Shell, limit: str) -> None:
    ran = shell.run("worker", "-L", limit, "--burst")

    assert (ran.code, ran.err) == (2, f"spoolq: Invalid limit option: {limit}\n")


@pytest.mark.minion(433, 434)
def test_options_reach_the_worker(shell: Shell, start: Any) -> None:
    shell.ok("stats")
    worker = start(
        *("-j", "3", "-s", "2", "-S", "7", "-q", "a", "-q", "b", "-L", "x=1", "--limit", "a=b=2"),
        *("-C", "1", "-D", "2s", "-I", "3", "-R", "1h", "--dispatch-interval", "0"),
    )
    worker.ready()
    [shown] = Spool(shell.root, durability="none").workers()

    status = dict(shown.status)
    assert 1800 < status.pop("repair_interval") <= 3600
    assert abs(status.pop("clock")) < 60
    assert status.pop("version") == version("spoolq")
    assert status == {
        "command_interval": 1,
        "dequeue_timeout": 2,
        "dispatch_interval": 0,
        "heartbeat_interval": 3,
        "jobs": 3,
        "limits": {"x": 1, "a=b": 2},
        "performed": 0,
        "queues": ["a", "b"],
        "spare": 2,
        "spare_min_priority": 7,
        "tasks": [],
        "type": "Python",
    }


@pytest.mark.parametrize(
    "words",
    [
        ("-j", "-1"),
        ("-C", "soon"),
        ("--runner", "nonsense"),
        ("--runner", "fork", "--pool"),
        ("--log-format", "xml"),
        ("--log-level", "loud"),
        ("--max-jobs", "0"),
        ("--grace", "-1"),
        ("--nonsense",),
    ],
)
def test_bad_options_are_usage_errors(shell: Shell, words: tuple[str, ...]) -> None:
    ran = shell.run("worker", "--burst", *words)

    assert ran.code == 2
    assert ran.err


def test_a_job_that_outlives_the_grace_is_performed_again(
    shell: Shell, app: Path, start: Any
) -> None:
    spool = Spool(shell.root, durability="none")
    job = spool.enqueue("nap", [60])
    worker = start("--app", "program", "--grace", "0.1")
    wait_for(lambda: state(shell, str(job.id)) == "active")

    assert worker.end(signal.SIGTERM) == 0

    shown = job.info()
    assert shown is not None
    assert (shown.state, shown.retries) == ("inactive", 0)


def test_hup_reads_the_settings_again_and_bad_ones_change_nothing(shell: Shell, start: Any) -> None:
    shell.add_executable("env.job", 'echo "$COLOUR"')
    settings = shell.root / "spoolq.toml"
    worker = start()
    worker.ready()
    settings.write_text('[env]\nCOLOUR = "blue"\n')
    worker.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"settings were read again" in worker.err.read_bytes())
    settings.write_text("nonsense")
    worker.process.send_signal(signal.SIGHUP)
    wait_for(lambda: b"the settings stay as they were" in worker.err.read_bytes())
    settings.write_text("")

    job = shell.ok("enqueue", "env")
    wait_for(lambda: state(shell, job) == "finished")

    assert shell.ok("logs", job) == "blue"
    assert worker.end() == 0


def test_usr1_says_what_the_worker_does(shell: Shell, start: Any) -> None:
    shell.add_executable("long.job", "sleep 60")
    job = shell.ok("enqueue", "long")
    worker = start("-j", "2")
    wait_for(lambda: state(shell, job) == "active")

    worker.process.send_signal(signal.SIGUSR1)

    wait_for(lambda: f"job {job} (long) in process".encode() in worker.err.read_bytes())
    assert b"1 of 3 slots busy" in worker.err.read_bytes()
    assert worker.end(signal.SIGQUIT) == 0


def test_the_log_can_be_json(shell: Shell) -> None:
    ran = shell.run("worker", "--burst", "--log-format", "json")

    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert [line.get("event") for line in lines] == [None, "started", "stopped"]


@pytest.mark.slow
def test_a_worker_for_development_starts_anew_when_its_program_changes(
    shell: Shell, app: Path, start: Any
) -> None:
    spool = Spool(shell.root, durability="none")
    worker = start("--app", "program", "--reload")
    worker.ready()

    app.write_text(APP.replace("a + b", "a * b"))
    wait_for(lambda: worker.err.read_bytes().count(b"started") == 2)
    job = spool.enqueue("add", [3, 4])
    wait_for(lambda: (info := job.info()) and info.state == "finished")

    shown = job.info()
    assert shown is not None
    assert shown.result == 12
    assert worker.end() == 0


# -- logs -f -------------------------------------------------------------------------------------


def test_output_is_followed_until_the_job_has_ended_and_its_exit_code_is_handed_on(
    shell: Shell, start: Any
) -> None:
    gate = shell.root.parent / "gate"
    shell.add_executable(
        "talk.job", f"echo one; until [ -e {gate} ]; do sleep 0.01; done; echo two; exit 7"
    )
    job = shell.ok("enqueue", "talk")
    follower = shell.popen("logs", "-f", job)
    assert follower.stdout is not None
    start("--max-jobs", "1")

    first = follower.stdout.readline()
    gate.touch()
    rest, err = follower.communicate(timeout=10)

    assert (first, rest, err) == (b"one\n", b"two\n", b"")
    assert follower.returncode == 7


def test_following_a_job_that_has_ended_shows_it_and_ends(shell: Shell) -> None:
    shell.add_executable("talk.job", "echo one; echo two")
    job = shell.ok("enqueue", "talk")
    shell.ok("process")

    assert shell.run("logs", "-f", job).out == "one\ntwo\n"
    assert shell.run("logs", "-f", "-n", "1", job).out == "two\n"
    assert shell.run("logs", "-f", "--json", job).code == 2


def test_following_goes_on_to_the_next_try(shell: Shell) -> None:
    flag = shell.root.parent / "flag"
    shell.add_executable(
        "again.job",
        f"if [ -e {flag} ]; then echo second; else touch {flag}; echo first; exit 1; fi",
    )
    job = shell.ok("enqueue", "again")
    shell.run("process")
    follower = shell.popen("logs", "-f", job)
    follower.communicate(timeout=10)
    shell.ok("retry", job)
    again = shell.popen("logs", "-f", job)
    assert again.stdout is not None
    first = again.stdout.readline()
    shell.ok("process")
    rest, _ = again.communicate(timeout=10)

    assert follower.returncode == 1
    assert (first, rest, again.returncode) == (b"first\n", b"second\n", 0)


# -- run by root -----------------------------------------------------------------------------------

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="nobody else is refused")


@pytest.mark.root
@only_root
@pytest.mark.parametrize("where", ["file", "directory"])
@pytest.mark.parametrize("spoil", ["owner", "mode"])
def test_root_does_not_import_a_program_that_somebody_else_can_change(
    shell: Shell, app: Path, where: str, spoil: str
) -> None:
    shell.ok("stats")
    own = app.parent / "own"
    own.mkdir()
    program = app.rename(own / "program.py")
    spoiled = {"file": program, "directory": own}[where]
    if spoil == "owner":
        os.chown(spoiled, 12345, -1)
    else:
        spoiled.chmod(0o777)

    ran = shell.run("worker", "--app", "program", "--burst", cwd=own)

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"root does not import what others can change, and {spoiled} " in ran.err


@pytest.mark.root
@only_root
def test_root_imports_nothing_else_from_where_others_put_their_modules(
    shell: Shell, app: Path
) -> None:
    open_to_all = app.parent / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    (open_to_all / "helper.py").write_text("raise SystemExit('imported')")
    app.write_text(f"import helper\n{APP}")
    (app.parent / "helper.py").touch()
    shell.env["PYTHONPATH"] += f":{app.parent}"

    # -P: what `python -m` would look in by itself, the installed command does not.
    command = [sys.executable, "-P", "-m", "spoolq", "worker", "--app", "program", "--burst"]
    ran = subprocess.run(command, env=shell.env, cwd=open_to_all, capture_output=True, check=False)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.root
@only_root
def test_root_performs_functions_as_the_owner_of_the_spool(shell: Shell, app: Path) -> None:
    spool = Spool(shell.root, durability="none")
    app.write_text(APP + "\n@spool.task\ndef who():\n    import os\n    return os.geteuid()\n")
    for path in (shell.root, *shell.root.rglob("*")):
        os.chown(path, 12345, 12345)
    open_the_way(shell.root.parent)
    job = spool.enqueue("who")

    ran = shell.run("worker", "--app", "program", "--burst")

    assert ran.code == 0, ran.err
    info = job.info()
    assert info is not None
    assert info.result == 12345
