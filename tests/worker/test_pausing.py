"""Jobs that run stand still while they are paused, with all that they started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolq import Spool
from spoolq.loop.plan import Terms
from tests.client.world import info
from tests.support import wait_for
from tests.worker.conftest import Running

SCRIPT = """#!/bin/sh
setsid sh -c 'echo $$ >"$0.elsewhere"; while [ ! -e "$0.go" ]; do sleep 0.01; done' "$1" &
echo $$ >"$1.own"
wait
"""


def state_of(pid: int) -> str:
    """`T` for a process that was stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stands_still(pid: int) -> bool:
    """Whether it was stopped, or waits for a child that was stopped between vfork and exec: then
    its own stop comes when the child goes on."""
    return state_of(pid) in ("T", "D")


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def waits_for(path: str) -> str:
    """A task that goes on until it is told; TERM is heard and ends it well."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    Path(f"{path}.own").write_text(str(os.getpid()))
    while not told and not Path(f"{path}.go").exists():
        time.sleep(0.005)
    return "TERM" if told else "go"


def is_paused(spool: Spool) -> Callable[[], object]:
    return lambda: [worker.status.get("paused") for worker in spool.workers()] != [None]


@pytest.fixture
def programs(file_spool: Spool) -> Spool:
    program = Path(str(file_spool.root), "jobs", "tree")
    program.write_text(SCRIPT)
    program.chmod(0o755)
    return file_spool


def test_a_program_and_what_has_left_its_session_stand_still(
    programs: Spool, running: Running, tmp_path: Path
) -> None:
    base = tmp_path / "x"
    job = programs.enqueue("tree", [str(base)])
    running(programs, command_interval=0.02)
    pids = [pid_in(tmp_path / "x.own"), pid_in(tmp_path / "x.elsewhere")]

    programs.broadcast("pause", [job.id])
    wait_for(is_paused(programs))
    wait_for(lambda: all(map(stands_still, pids)))
    assert [worker.status["paused"] for worker in programs.workers()] == [[job.id]]

    (tmp_path / "x.go").touch()
    programs.broadcast("resume", [job.id])
    wait_for(lambda: info(job).state == "finished")
    wait_for(lambda: not is_paused(programs)())


def test_a_function_stands_still_and_goes_on(
    spool: Spool, running: Running, tmp_path: Path
) -> None:
    spool.add_task("waits", waits_for)
    job = spool.enqueue("waits", [str(tmp_path / "x")])
    running(spool, command_interval=0.02)
    pid = pid_in(tmp_path / "x.own")

    spool.broadcast("pause", [str(job.id)])
    wait_for(is_paused(spool))
    wait_for(lambda: state_of(pid) == "T")
    (tmp_path / "x.go").touch()
    spool.broadcast("resume", [job.id])

    wait_for(lambda: info(job).state == "finished")
    assert info(job).result == "go"


def test_a_paused_job_that_is_killed_can_obey(
    spool: Spool, running: Running, tmp_path: Path
) -> None:
    spool.add_task("waits", waits_for)
    job = spool.enqueue("waits", [str(tmp_path / "x")])
    running(spool, command_interval=0.02)
    pid_in(tmp_path / "x.own")
    spool.broadcast("pause", [job.id])
    wait_for(is_paused(spool))

    spool.broadcast("kill", ["TERM", job.id])

    wait_for(lambda: info(job).state == "finished")
    assert info(job).result == "TERM"


def test_a_worker_that_is_to_end_lets_paused_jobs_go_on(
    spool: Spool, running: Running, tmp_path: Path
) -> None:
    spool.add_task("waits", waits_for)
    job = spool.enqueue("waits", [str(tmp_path / "x")])
    worker = running(spool, Terms(), command_interval=0.02)
    pid_in(tmp_path / "x.own")
    spool.broadcast("pause", [job.id])
    wait_for(is_paused(spool))
    (tmp_path / "x.go").touch()

    worker.stop()

    wait_for(lambda: info(job).state == "finished")


@pytest.mark.slow
@pytest.mark.parametrize("args", [[], ["x"], [-1], [None], [4711]])
def test_nonsense_pauses_nothing(
    spool: Spool, running: Running, tmp_path: Path, args: list[object]
) -> None:
    spool.add_task("waits", waits_for)
    job = spool.enqueue("waits", [str(tmp_path / "x")])
    worker = running(spool, command_interval=0.02)
    pid_in(tmp_path / "x.own")
    seen: list[object] = []
    worker.commands["done"] = lambda *_: seen.append(1)

    for command in ("pause", "resume", "done"):
        spool.broadcast(command, args)
    wait_for(lambda: seen)

    assert "paused" not in worker.status
    (tmp_path / "x.go").touch()
    wait_for(lambda: info(job).state == "finished")
