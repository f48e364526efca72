"""Twelve things that nq, task-spooler and pueue do not do, each from the command line.

Source: a comparison of the shell queues; each of them fails at least one of these.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from spoolq.cli.grammar import ADD
from spoolq.cli.tree import verbs
from spoolq.files import registry
from spoolq.files.store import FileBackend
from tests.cli.conftest import SPOOLQ, Shell
from tests.support import wait_for
from tests.support.jobs import claim

pytestmark = pytest.mark.slow

HAS_UNIQUE: Final = any("--unique" in option.flags for option in ADD.options)
_SET: Final = verbs().get("queue set")
HAS_LIMITS: Final = _SET is not None and any("--parallel" in flag.names for flag in _SET.flags)


@pytest.fixture
def start(shell: Shell) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start commands; those that still run are killed afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        null = subprocess.DEVNULL
        run = [*SPOOLQ, *words]
        process = subprocess.Popen(run, env=shell.env, stdin=null, stdout=null, stderr=null)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def jobs(shell: Shell) -> dict[int, Any]:
    return {job["id"]: job for job in json.loads(shell.run("list", "--json").out)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seconds", [pytest.param(15), pytest.param(60, marks=pytest.mark.exhaustive)]
)
def test_1_a_minute_of_killing_loses_no_job_and_doubles_none(
    shell: Shell, start: Callable[..., subprocess.Popen[bytes]], seconds: int
) -> None:
    diary = shell.root.parent / "diary"
    lines = "x\n" * 500
    run = [*SPOOLQ, "add", "-A", "1000", "--each-line"]
    run += ["-c", f"echo $SPOOLQ_JOB_ID >>{diary}"]
    subprocess.run(run, env=shell.env, input=lines.encode(), check=True, stdout=subprocess.DEVNULL)
    pick = random.Random(4)
    processes = [start("process", "-j", "4") for _ in range(3)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pick.choice(processes).send_signal(signal.SIGKILL)
        for number, process in enumerate(processes):
            if process.poll() is not None:
                processes[number] = start("process", "-j", "4")
        time.sleep(pick.uniform(0.1, 0.5))
    for process in processes:
        process.kill()
        process.wait()

    def drained() -> bool:
        # What a killed worker had begun is due again after its backoff: nobody waits for that.
        shell.run("retry", "state:delayed")
        shell.run("process", "-j", "4")
        return {job["state"] for job in jobs(shell).values()} == {"finished"}

    wait_for(drained, 120)
    found = jobs(shell)
    assert sorted(found) == list(range(1, 501))
    ran = Counter(map(int, diary.read_text().split()))
    assert all(1 <= ran[id_] <= job["retries"] + 1 for id_, job in found.items())


def test_2_exit_codes_tell_the_truth(shell: Shell) -> None:
    shell.env["SPOOLQ_AUTOSTART"] = "yes"

    assert shell.run("add", "-f", "sh", "-c", "exit 7").code == 7
    assert shell.run("wait", "1").code == 7
    assert shell.run("add", "-f", "--", "/no/such/program").code == 127
    assert shell.run("wait", "2").code == 127
    assert shell.run("wait", "77").code == 3
    assert shell.run("wait", "1", "2").code == 1


def test_3_the_very_argv_arrives(shell: Shell) -> None:
    argv = ["a b", "", "x'y", "n\nl", '"', "\\", "$(x)", "é", "--"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    shell.ok("add", sys.executable, "-c", program, *argv)

    shell.ok("process")

    assert json.loads(shell.ok("logs", "1")) == argv


def test_4_the_10001st_add_costs_what_the_first_costs(shell: Shell, tmp_path: Path) -> None:
    full = tmp_path / "full"
    FileBackend(str(full), durability="none").enqueue_many([("exec", ["true"])] * 10_000)

    def taken(root: Path) -> float:
        begin = time.perf_counter()
        run = [*SPOOLQ, "--root", str(root), "add", "true"]
        subprocess.run(run, env=shell.env, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin

    taken(full), taken(shell.root)
    pairs = [(taken(full), taken(shell.root)) for _ in range(15)]

    assert statistics.median(many / few for many, few in pairs) <= 1.5


def test_5_after_a_reboot_what_waits_runs_without_a_human(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.ok("repair")
    (shell.root / "spoolq.toml").write_text("missing_after = 0.5\n")  # a boot takes longer
    backend = FileBackend(str(shell.root), durability="none")
    shell.ok("add", "-A", "2", "true")
    here = registry.this_process()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "this_process", lambda: {**here, "boot": "before", "pid": 2**22})
        claim(backend, backend.register_worker())  # it was running when the power went
    shell.ok("add", "true")
    [marker] = (shell.root / "ids").glob("boot.*")
    marker.rename(marker.with_name("boot.before"))
    shell.env["SPOOLQ_AUTOSTART"] = "yes"

    shell.ok("add", "true")

    wait_for(lambda: [jobs(shell)[id_]["state"] for id_ in (2, 3)] == ["finished"] * 2, 30)
    wait_for(lambda: jobs(shell)[1]["state"] == "inactive", 30)
    broken = jobs(shell)[1]
    assert broken["retries"] == 1
    assert broken["history"][0]["error"] == "Worker went away"
    shell.ok("remove", "1")  # the worker that was started leaves once nothing is delayed


def test_6_a_job_file_of_no_bytes_harms_nobody_else(shell: Shell) -> None:
    for _ in range(3):
        shell.ok("add", "true")
    [broken] = (shell.root / "inactive").rglob("2.*.json")
    os.truncate(broken, 0)

    shell.ok("process")

    assert {id_: job["state"] for id_, job in jobs(shell).items()} == {
        1: "finished",
        3: "finished",
    }
    assert list((shell.root / "corrupt").glob("*.reason"))
    doctor = shell.run("doctor")
    assert (doctor.code, "corrupt" in doctor.out) == (1, True)


def test_7_a_child_runs_by_itself_once_its_parent_was_retried_well(shell: Shell) -> None:
    gate = shell.root.parent / "gate"
    shell.ok("add", "test", "-e", str(gate))
    shell.ok("add", "--after", "1", "true")
    shell.ok("process")
    assert jobs(shell)[2]["reason"]["code"] == "parent-failed"
    gate.touch()

    shell.ok("retry", "1")
    shell.ok("process")

    assert [job["state"] for job in jobs(shell).values()] == ["finished", "finished"]


@pytest.mark.skipif(not HAS_UNIQUE, reason="needs add --unique")
def test_8_a_unique_job_that_is_added_all_the_time_never_runs_beside_itself(
    shell: Shell, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    diary = shell.root.parent / "diary"
    shell.ok("repair")
    start("worker", "-j", "4", "--grace", "0")
    line = f"echo begin >>{diary}; sleep 0.3; echo end >>{diary}"

    for _ in range(15):
        assert shell.run("add", "--unique=nightly", "-c", line).code == 0
        assert int(shell.ok("count", "state:inactive")) <= 1
    wait_for(lambda: shell.ok("count", "state:inactive", "state:active") == "0")

    said = diary.read_text().split()
    assert said == ["begin", "end"] * (len(said) // 2)


def test_9_a_shell_line_without_c_is_refused_with_the_right_advice(shell: Shell) -> None:
    ran = shell.run("add", "a && b")

    assert (ran.code, ran.out) == (2, "")
    assert "spoolq add -c 'a && b'" in ran.err
    assert shell.ok("count") == "0"


@pytest.mark.skipif(not HAS_LIMITS, reason="needs queue set --parallel")
def test_10_a_limit_of_a_queue_holds_for_all_its_workers(
    shell: Shell, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    diary = shell.root.parent / "diary"
    for _ in range(8):
        shell.ok("add", "-c", f"echo begin >>{diary}; sleep 0.05; echo end >>{diary}")
    shell.ok("queue", "set", "default", "--parallel", "1")

    for _ in range(2):
        start("worker", "-j", "4", "--grace", "0")
    wait_for(lambda: shell.ok("count", "state:finished") == "8", 60)

    assert diary.read_text().split() == ["begin", "end"] * 8


def test_11_killing_a_job_leaves_nothing_that_it_has_started(
    shell: Shell, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    pids = shell.root.parent / "pids"
    away = f"(setsid sh -c 'echo $$ >>{pids}; exec sleep 300' &) ; echo $$ >>{pids}; sleep 300"
    shell.ok("add", "-c", away)
    start("worker", "--grace", "0")
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)

    assert shell.run("kill", "1").code == 0

    wait_for(lambda: not any(map(runs, pids.read_text().split())))


def runs(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_12_a_file_that_is_moved_by_hand_is_a_retry(shell: Shell) -> None:
    gate = shell.root.parent / "gate"
    shell.ok("add", "test", "-e", str(gate))
    shell.ok("process")
    [failed] = (shell.root / "failed").rglob("1.*.json")
    gate.touch()

    shutil.move(failed, shell.root / "inactive")
    shell.ok("process")

    job = jobs(shell)[1]
    assert (job["state"], job["retries"]) == ("finished", 1)
