"""Remote control of a worker that runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from spoolq import Spool, Worker, current_job
from spoolq.loop.plan import Terms
from tests.client.world import info
from tests.support import wait_for
from tests.worker.conftest import Running
from tests.worker.test_run import BURST, Gate, active, gate

__all__ = ["gate"]


def commanded(spool: Spool, *words: object) -> None:
    command, *args = words
    assert spool.broadcast(str(command), args)


@pytest.mark.minion(299, 306)
def test_jobs_and_spare_of_none_pause_a_worker_and_jobs_resumes_it(
    spool: Spool, running: Running
) -> None:
    spool.add_task("noop", lambda: None)
    worker = running(spool, command_interval=0.02)
    commanded(spool, "jobs", 0)
    commanded(spool, "spare", 0)
    wait_for(lambda: worker.status["jobs"] == worker.status["spare"] == 0)
    wait_for(lambda: shown_status(worker)["jobs"] == 0)
    job = spool.enqueue("noop", priority=100)
    looks: list[object] = []
    worker.on("busy", looks.append)
    spool.broadcast("look")
    wait_for(lambda: len(looks) > 3)
    assert info(job).state == "inactive"

    commanded(spool, "jobs", "4")
    wait_for(lambda: info(job).state == "finished")


def shown_status(worker: Worker) -> dict[str, object]:
    shown = worker.info()
    assert shown is not None
    return shown.status


@pytest.mark.slow
@pytest.mark.minion(300)
@pytest.mark.parametrize("args", [[-3], ["-3"], ["abc"], [], [1.5], [None], [[1], 2]])
def test_nonsense_changes_nothing(spool: Spool, running: Running, args: list[object]) -> None:
    worker = running(spool, command_interval=0.02)
    seen: list[object] = []
    worker.commands["done"] = lambda *_: seen.append(1)
    for command in ("jobs", "spare"):
        commanded(spool, command, *args)
    commanded(spool, "done")

    wait_for(lambda: seen)

    assert (worker.status["jobs"], worker.status["spare"]) == (4, 1)


@pytest.mark.minion(307)
def test_a_spare_slot_still_takes_jobs_of_high_priority(spool: Spool, running: Running) -> None:
    spool.add_task("noop", lambda: None)
    running(spool, jobs=0, spare=1)

    low, high = spool.enqueue("noop"), spool.enqueue("noop", priority=1)
    wait_for(lambda: info(high).state == "finished")

    assert info(low).state == "inactive"


def handles_signals(path: str, wanted: int) -> list[int]:
    """A job that counts the signals it gets, until it has as many as it wants."""
    got: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: got.append(n))
    Path(path).touch()
    while len(got) < wanted:
        time.sleep(0.005)
    return sorted(got)


@pytest.mark.minion(301, 304)
def test_kill_reaches_a_handler_of_the_task_and_hup_does_not(
    spool: Spool, running: Running, tmp_path: Path
) -> None:
    spool.add_task("handles", handles_signals)
    ready = tmp_path / "ready"
    job = spool.enqueue("handles", [str(ready), 1])
    running(spool, command_interval=0.02)
    wait_for(ready.exists)

    commanded(spool, "kill", "HUP", job.id)
    commanded(spool, "kill", "TERM", str(job.id))
    wait_for(lambda: info(job).state == "finished")

    assert info(job).result == [signal.SIGTERM]


def kills_itself(path: str, root: str) -> list[int]:
    """A job that broadcasts signals to itself."""
    job = current_job()
    assert job is not None
    got: list[int] = []
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    for number in numbers:
        signal.signal(number, lambda n, _: got.append(n))
    for number in numbers:
        job.backend.broadcast("kill", [number.name.removeprefix("SIG"), job.id])
    while len(got) < len(numbers):
        time.sleep(0.005)
    return sorted(got)


@pytest.mark.minion(305)
def test_a_task_may_send_signals_to_its_own_job(
    file_spool: Spool, running: Running, tmp_path: Path
) -> None:
    file_spool.add_task("kills", kills_itself)
    job = file_spool.enqueue("kills", [str(tmp_path), ""])
    running(file_spool, command_interval=0.02)

    wait_for(lambda: info(job).state == "finished")

    assert info(job).result == sorted([signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])


@pytest.mark.minion(303)
def test_stop_kills_a_job_and_only_that_one(spool: Spool, gate: Gate, running: Running) -> None:
    job, other = gate.enqueue(), gate.enqueue()
    running(spool, command_interval=0.02)
    wait_for(lambda: gate.started == 2)

    commanded(spool, "stop", job.id)
    wait_for(lambda: info(job).state == "failed")

    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"
    assert active(spool) == {other.id}
    gate.open()


@pytest.mark.slow
@pytest.mark.minion(302)
@pytest.mark.parametrize("args", [["KILL", 999], ["KILL"], ["KILL", "x"], [9, 1], ["NOPE", 1], []])
def test_kill_of_what_is_not_there_or_makes_no_sense_is_ignored(
    spool: Spool, gate: Gate, running: Running, args: list[object]
) -> None:
    job = gate.enqueue()
    running(spool, command_interval=0.02)
    wait_for(lambda: gate.started == 1)

    commanded(spool, "kill", *args)
    commanded(spool, "stop", 999)
    gate.open()
    wait_for(lambda: info(job).state == "finished")


def test_a_command_that_raises_does_not_end_the_worker(spool: Spool, running: Running) -> None:
    spool.add_task("noop", lambda: None)
    worker = running(spool, command_interval=0.02)
    called: list[object] = []

    def explode(*_: object) -> None:
        called.append(1)
        raise ZeroDivisionError

    worker.commands["explode"] = explode
    commanded(spool, "explode")
    wait_for(lambda: called)
    job = spool.enqueue("noop")
    wait_for(lambda: info(job).state == "finished")


@pytest.mark.minion(298)
def test_the_built_in_commands_are_there_only_while_the_worker_runs(spool: Spool) -> None:
    called: list[object] = []
    spool.add_task("noop", lambda: None)
    worker = spool.worker().add_command("jobs", lambda *args: called.append(args))
    worker.on("wait", lambda w: seen.append(w.commands["jobs"]))
    seen: list[object] = []

    worker.run(BURST)

    assert worker.commands.keys() == {"jobs"}
    assert seen[0] is not worker.commands["jobs"]


def test_a_command_is_obeyed_soon(spool: Spool, running: Running) -> None:
    worker = running(spool, Terms(grace=0))
    begun = time.monotonic()

    commanded(spool, "jobs", 7)
    wait_for(lambda: worker.status["jobs"] == 7)

    assert time.monotonic() - begun < 5


def test_the_process_id_of_a_job_is_not_the_worker_s(spool: Spool) -> None:
    spool.add_task("who", os.getpid)
    job = spool.enqueue("who")

    spool.worker().run(BURST)

    assert info(job).result != os.getpid()
