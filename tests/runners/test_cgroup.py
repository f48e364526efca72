"""Where the worker's control group was delegated to it, each job has one of its own.

The jobs here get rid of their mark: what is left of them only a control group finds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from inspect import getsource
from pathlib import Path

import pytest

from spoolq import Spool
from spoolq.runners.cgroup import _own_directory, delegated
from tests.runners.functions import Stage
from tests.runners.programs import alive
from tests.support import wait_for
from tests.support.ways import open_the_way


def _writable() -> str | None:
    own = _own_directory()
    return own if own is not None and os.geteuid() == 0 and os.access(own, os.W_OK) else None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(_writable() is None, reason="needs root and a writable cgroup v2"),
]

NO_MARK = "import resource; resource.setrlimit(10, (resource.RLIM_INFINITY,) * 2)"
ESCAPE = f"""#!{sys.executable}
import os, sys, time
{NO_MARK}
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(60)
    os._exit(0)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.005)
"""
"""A program that leaves a process behind: in a session of its own, an orphan, without a mark."""


@pytest.fixture
def group() -> Iterator[Path]:
    """This process sits in a control group of its own, as if systemd had delegated it."""
    before = str(_writable())
    made = Path(before, f"spoolq-test-{os.getpid()}")
    made.mkdir()
    os.setxattr(made, "user.delegate", b"1")
    (made / "cgroup.procs").write_text("0")
    yield made
    Path(before, "cgroup.procs").write_text("0")
    (made / "cgroup.kill").write_text("1")
    wait_for(lambda: not (made / "cgroup.procs").read_text())
    for left in sorted(made.glob("**/"), reverse=True):
        left.rmdir()


@pytest.fixture(params=["fork", "pool"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, group: Path) -> Iterator[Stage]:
    stage = Stage(Spool(tmp_path / "spool", durability="none"), request.param)
    yield stage
    stage.close()


def add_program(stage: Stage, name: str, text: str) -> str:
    path = Path(str(stage.spool.root)) / "jobs" / name
    path.write_text(text)
    path.chmod(0o755)
    return name


def escape(left: str) -> None:
    """A function that does what the program does, and goes on."""
    subprocess.run([sys.executable, "-c", ESCAPE.partition("\n")[2], left], check=True)


def escape_and_stay(left: str) -> None:
    escape(left)
    signal.pause()


def groups(group: Path) -> list[Path]:
    return [path for path in group.iterdir() if path.is_dir()]


def test_what_a_program_leaves_without_a_mark_dies_with_it(
    stage: Stage, group: Path, tmp_path: Path
) -> None:
    left = tmp_path / "left"

    assert stage.run(add_program(stage, "escape", ESCAPE), str(left)).ok

    assert not alive(int(left.read_text()))


def test_what_a_function_has_started_without_a_mark_is_killed_with_it(
    stage: Stage, group: Path, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    run = stage.start(stage.add(escape_and_stay), str(left))
    wait_for(left.exists)

    run.kill(signal.SIGKILL)

    assert not stage.end(run).ok
    wait_for(lambda: not alive(int(left.read_text())))


def listen(told: str, ready: str) -> None:
    """Ignore TERM, and start what does not, in a session of its own."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    hears = f"trap 'touch {told}; exit' TERM; touch {ready}; while :; do sleep 0.01; done"
    subprocess.run(["setsid", "sh", "-c", hears], check=False)
    while True:
        signal.pause()


@pytest.mark.parametrize("kind", ["program", "function"])
def test_term_reaches_what_leads_a_session_of_its_own(
    stage: Stage, group: Path, tmp_path: Path, kind: str
) -> None:
    told, ready = tmp_path / "told", tmp_path / "ready"
    if kind == "program":
        call = f"import signal, subprocess, sys\n{getsource(listen)}\nlisten(*sys.argv[1:])\n"
        task = add_program(stage, "listen", f"#!{sys.executable}\n{call}")
    else:
        task = stage.add(listen)
    run = stage.start(task, str(told), str(ready))
    wait_for(ready.exists)

    run.kill(signal.SIGTERM)

    wait_for(told.exists)
    run.kill(signal.SIGKILL)
    assert not stage.end(run).ok


def test_no_group_is_left_when_the_jobs_have_ended(
    stage: Stage, group: Path, tmp_path: Path
) -> None:
    add_program(stage, "true", "#!/bin/sh\n")
    stage.run("true")
    stage.run(stage.add(os.getpid))
    waiting = groups(group)

    stage.close()

    assert groups(group) == []
    assert waiting, "the children that wait for jobs have theirs already"


def test_a_group_that_a_job_has_made_in_its_own_goes_with_it(
    stage: Stage, group: Path, tmp_path: Path
) -> None:
    def nest() -> str:
        own = Path(str(_own_directory()), "mine")
        own.mkdir()
        return str(own)

    outcome = stage.run(stage.add(nest))

    assert outcome.ok
    assert outcome.result.startswith(str(group))
    stage.close()
    assert groups(group) == []


def test_what_a_killed_worker_has_started_is_killed_with_its_groups(
    stage: Stage, group: Path, tmp_path: Path
) -> None:
    """The zygote does that; of the programs the worker itself has started it knows by the names."""
    left = tmp_path / "left"
    add_program(stage, "escape", ESCAPE + "time.sleep(60)\n")
    stage.spool.enqueue("escape", [str(left)])
    env = {**os.environ, "SPOOLQ_ROOT": str(stage.spool.root)}
    worker = subprocess.Popen([sys.executable, "-m", "spoolq", "worker"], env=env)
    wait_for(left.exists)

    worker.kill()
    worker.wait()

    wait_for(lambda: not alive(int(left.read_text())))
    wait_for(lambda: groups(group) == [])


def test_a_group_that_nobody_has_delegated_is_left_alone(group: Path) -> None:
    assert delegated().directory == str(group)

    os.removexattr(group, "user.delegate")

    assert delegated().directory is None


def test_without_groups_everything_works_as_before(
    group: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on groups below this one is reached."""
    (group / "cgroup.max.descendants").write_text("0")
    stage = Stage(Spool(tmp_path / "spool", durability="none"), "fork")
    try:
        assert stage.run(stage.add(os.getpid)).ok
    finally:
        stage.close()
    assert groups(group) == []


def test_a_program_of_another_user_is_in_its_group_from_the_beginning(
    group: Path, tmp_path: Path
) -> None:
    root = tmp_path / "spool"
    root.mkdir(mode=0o700)
    os.chown(root, 12345, 12345)
    open_the_way(tmp_path)
    stage = Stage(Spool(root, durability="none"), "fork")
    try:
        text = '#!/bin/sh\ngrep ^0: /proc/self/cgroup >"$SPOOLQ_RESULT_FILE"; id -u\n'
        outcome = stage.run(add_program(stage, "where", text))
        assert stage.log(1) == "12345\n"
    finally:
        stage.close()

    assert f"/{group.name}/spoolq-job." in str(outcome.result)
