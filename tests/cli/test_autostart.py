"""A personal spool serves itself: the worker that `add` starts, and when it starts none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from spoolq import Spool
from spoolq.cli.attending import attend
from spoolq.cli.autostart import is_attended, is_served, lock_path
from tests.cli.conftest import Shell
from tests.support import wait_for


@pytest.fixture
def own(shell: Shell) -> Iterator[Shell]:
    """A personal spool that serves itself; what was started is gone afterwards."""
    shell.ok("repair")
    del shell.env["SPOOLQ_AUTOSTART"]
    yield shell
    workers = pids(shell)
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_attended(str(shell.root), "default"))


@contextmanager
def serving(shell: Shell, queue: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that somebody has started, and has said what it serves."""
    shell.ok("repair")
    worker = shell.popen("worker", "-q", queue, "--grace", "0", stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_served(str(shell.root), queue, 0))
        yield worker
    finally:
        worker.terminate()
        worker.communicate()


def pids(shell: Shell) -> list[int]:
    """The processes of the workers of a spool."""
    found = []
    for path in shell.root.glob("workers/*"):
        if ".status." not in path.name:
            try:
                found.append(int(json.loads(path.read_text())["pid"]))
            except FileNotFoundError:
                continue  # a heartbeat has renamed it; it is listed once more
    return found


def states(shell: Shell) -> set[str]:
    jobs: list[Any] = json.loads(shell.ok("list", "--json"))
    return {job["state"] for job in jobs}


def test_a_command_line_runs_though_nobody_serves_the_queue(own: Shell) -> None:
    ran = own.run("add", "-f", "-c", "echo hi; exit 7")

    assert (ran.code, ran.out, ran.err) == (7, "hi\n", "1\n")


def test_two_adds_at_once_start_one_worker(own: Shell) -> None:
    adding = [own.popen("add", "true") for _ in range(3)]
    for process in adding:
        process.communicate()
    wait_for(lambda: states(own) == {"finished"})

    jobs = json.loads(own.ok("list", "--json"))
    assert {job["worker"] for job in jobs} == {1}
    assert len(pids(own)) == 1


def test_the_worker_keeps_nothing_of_who_added_the_job(own: Shell, tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with lock:
        fd = lock._context.lock_file_fd
        assert fd is not None
        own.popen("add", "true", pass_fds=[fd]).communicate()  # its pipes are closed at once
    wait_for(lambda: states(own) == {"finished"})

    [worker] = pids(own)
    assert os.readlink(f"/proc/{worker}/cwd") == "/"
    assert os.getsid(worker) == worker
    lock.acquire(timeout=0)  # nobody else has it open
    lock.release()


def test_never_is_an_answer(shell: Shell) -> None:
    shell.ok("add", "true")

    assert not list(shell.root.glob("reserve/*.lock"))
    assert pids(shell) == []


def test_where_a_worker_serves_the_queue_none_is_started(own: Shell) -> None:
    with serving(own, "default") as worker:
        own.ok("add", "-W", "true")

        assert pids(own) == [worker.pid]
    assert not is_served(str(own.root), "default", 0)


def test_a_worker_that_was_killed_or_serves_others_does_not_count(shell: Shell) -> None:
    with serving(shell, "mail") as worker:
        assert not is_served(str(shell.root), "default", 0)
        worker.kill()
        worker.wait()
        assert not is_served(str(shell.root), "mail", 0)


def test_a_shared_spool_only_says_that_nobody_is_there(own: Shell) -> None:
    (own.root / "spoolq.toml").write_text('mode = "group"\n')
    own.root.chmod(0o2770)

    ran = own.run("enqueue", "exec", "true")

    assert (ran.code, ran.out) == (0, "1\n")
    assert ran.err == (
        "spoolq: nobody serves queue default now: spoolq worker -q default, or cron\n"
    )
    assert pids(own) == []


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "personal", durability="none")


def test_the_worker_performs_what_is_ready_and_due_later_and_leaves(spool: Spool) -> None:
    ready = spool.enqueue("exec", ["true"])
    later = spool.enqueue("exec", ["true"], delay=0.2)
    other = spool.enqueue("exec", ["true"], queue="other")

    attend(str(spool.root), "default", idle=0)

    found = {job.id: job.state for job in spool.jobs()}
    assert found == {ready.id: "finished", later.id: "finished", other.id: "inactive"}
    assert list(spool.workers()) == []


def test_the_worker_leaves_what_is_held_or_in_a_paused_queue(spool: Spool) -> None:
    spool.enqueue("exec", ["true"], hold=True)
    spool.enqueue("exec", ["true"], hold=True, delay=9000)
    attend(str(spool.root), "default", idle=0)
    spool.pause_queue("mail")
    spool.enqueue("exec", ["true"], queue="mail")
    attend(str(spool.root), "mail", idle=0)

    assert {job.state for job in spool.jobs()} == {"inactive"}


@pytest.mark.parametrize("how", ["release", "resume"])
def test_what_may_run_again_is_run_though_nobody_serves_the_queue(own: Shell, how: str) -> None:
    if how == "resume":
        own.ok("queue", "pause", "default")
    own.run("add", *(["--hold"] if how == "release" else []), "true")
    assert own.json("show", "1")["state"] == "inactive"

    own.ok(*(["release", "1"] if how == "release" else ["queue", "resume", "default"]))

    wait_for(lambda: own.json("show", "1")["state"] == "finished")


def test_a_second_one_leaves_at_once(spool: Spool) -> None:
    spool.enqueue("exec", ["true"])

    with FileLock(lock_path(str(spool.root), "default")):
        assert is_attended(str(spool.root), "default")
        attend(str(spool.root), "default")

    assert [job.state for job in spool.jobs()] == ["inactive"]


def test_a_job_that_comes_while_the_worker_leaves_is_performed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, late = FileLock.release, [["true"]]

    def come_in_between(lock: FileLock, force: bool = False) -> None:
        if lock.lock_file.endswith("attendant.default.lock") and late:
            spool.enqueue("exec", late.pop())
            assert is_attended(str(spool.root), "default")
        release(lock, force)

    monkeypatch.setattr(FileLock, "release", come_in_between)

    attend(str(spool.root), "default", idle=0)

    assert [job.state for job in spool.jobs()] == ["finished"]
