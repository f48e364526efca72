"""Two hosts with the same name, the same pid, the same kernel, and one directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.registry import this_process
from spoolq.files.store import FileBackend
from tests.hosts.kills import seconds_to_reach, worker_elsewhere
from tests.hosts.namespaces import NAME, needs_namespaces, python_on_host
from tests.hosts.work import all_jobs, no_backoff
from tests.support import wait_for
from tests.support.checker import check_spool

pytestmark = [needs_namespaces, pytest.mark.slow]

Start = Callable[..., subprocess.Popen[str]]
SOON = 1.5  # seconds after which a silent worker counts as gone


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def files(root: Path) -> FileBackend:
    """The spool, as this host sees it."""
    return FileBackend(str(root), durability="none", missing_after=SOON, backoff=no_backoff)


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Start one of `acts` on a host of its own; it is killed in the end."""
    running: list[subprocess.Popen[str]] = []

    def start_it(act: str, *args: Any, **options: Any) -> subprocess.Popen[str]:
        process = python_on_host(f"tests.hosts.acts:{act}", str(root), *args, **options)
        running.append(process)
        return process

    yield start_it
    for process in running:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it ended without a word"
    found: dict[str, Any] = json.loads(line)
    return found


def test_two_hosts_with_one_name_and_one_pid_are_two_workers(
    files: FileBackend, start: Start, root: Path
) -> None:
    jobs = [files.enqueue("foo"), files.enqueue("foo")]
    twins = [heard(start("claim_and_wait", 120, False)) for _ in jobs]

    assert [(twin["host"], twin["pid"]) for twin in twins] == [(NAME, 1), (NAME, 1)]
    assert twins[0]["worker"] != twins[1]["worker"]
    assert [twin["job"] for twin in twins] == jobs
    rows = files.list_workers().rows
    assert [(row.host, row.pid) for row in rows] == [(NAME, 1), (NAME, 1)]
    assert [row.jobs for row in rows] == [[jobs[1]], [jobs[0]]]


def test_hosts_that_claim_at_the_same_time_share_the_jobs_and_double_none(
    files: FileBackend, start: Start, root: Path
) -> None:
    jobs = files.enqueue_many(["foo"] * 300)

    hosts = [start("race", len(jobs)) for _ in range(2)]
    for host in hosts:
        heard(host)
    root.with_name("go").touch()
    mine = [heard(host)["mine"] for host in hosts]

    assert sorted(mine[0] + mine[1]) == jobs
    assert all(mine), "one host did everything"
    files.repair()
    check_spool(str(root), acked=jobs)


def test_a_broadcast_reaches_the_workers_of_every_host(files: FileBackend, start: Start) -> None:
    hosts = [start("listen") for _ in range(2)]
    workers = [heard(host)["worker"] for host in hosts]

    assert files.broadcast("jobs", [3])
    assert files.broadcast("stop", [], [workers[0]])
    assert files.broadcast("stop", [], [workers[1]])

    for host in hosts:
        assert heard(host) == {"command": "jobs", "args": [3]}
        assert heard(host) == {"command": "stop", "args": []}
        assert host.wait(10) == 0


def test_a_broadcast_kill_reaches_the_job_of_a_worker_on_another_host(
    root: Path, tmp_path: Path
) -> None:
    with worker_elsewhere(root) as spool:
        took = seconds_to_reach(spool, tmp_path / "job")

    assert took < 5  # what it takes is in docs/hosts.md; this machine may be busy


def test_a_worker_of_another_pid_namespace_is_not_dead_because_its_pid_is_not_here(
    files: FileBackend, start: Start
) -> None:
    """Its pid is 1; here that is another process, and elsewhere none."""
    files.missing_after = 120
    job = files.enqueue("foo")
    host = start("claim_and_wait", 120, False)
    worker = heard(host)["worker"]

    files.repair()
    other = start("look_for_the_dead")

    assert heard(other)["workers"] == [worker]
    assert [row.state for row in all_jobs(files)] == ["active"]
    assert files.list_jobs(ids=[job]).rows[0].worker == worker


def test_a_silent_worker_of_another_host_is_given_up_after_missing_after(
    files: FileBackend, start: Start, root: Path
) -> None:
    job = files.enqueue("foo", attempts=2)
    silent = start("claim_and_wait", SOON, False)
    heard(silent)

    def given_up() -> bool:
        files.repair()
        return [row.state for row in all_jobs(files)] == ["inactive"]

    wait_for(given_up, SOON + 5)
    assert [row.retries for row in all_jobs(files)] == [1]
    # It was alive after all: what it says now comes too late.
    claimed = files.dequeue(files.register_worker())
    assert claimed is not None
    root.with_name("finish").touch()
    assert heard(silent) == {"finished": False}

    incidents = [json.loads(path.read_text()) for path in (root / "incidents").iterdir()]
    refused = [entry for entry in incidents if entry["incident"] == "outcome refused"]
    assert [(entry["job"], entry["retries"]) for entry in refused] == [(job, 0)]
    assert files.finish_job(job, 1, "the one that counts")
    assert [row.result for row in all_jobs(files)] == ["the one that counts"]


def test_a_worker_of_another_host_that_beats_is_left_alone(
    files: FileBackend, start: Start, root: Path
) -> None:
    files.enqueue("foo")
    host = start("claim_and_wait", SOON, True)
    worker = heard(host)["worker"]
    first = files.list_workers().rows[0].notified

    def beaten_twice() -> bool:
        files.repair()
        [row] = files.list_workers().rows
        return bool(row.id == worker and row.notified > first + SOON)

    wait_for(beaten_twice, 10)
    root.with_name("finish").touch()
    assert heard(host) == {"finished": True}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user, and mounts")
def test_a_worker_that_proc_hides_from_another_user_is_not_taken_for_dead() -> None:
    """Found while the units were written: ProtectProc=invisible hides the others of a group."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    alive, dead = this_process(), {**this_process(), "pid": ended.pid}
    hide = "mount -t proc -o hidepid=invisible proc /proc"
    drop = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    judge = [sys.executable, "-m", "tests.hosts.namespaces", "tests.hosts.acts:judge"]
    root = Path(__file__).parents[2]
    reads = subprocess.run(
        [*drop.split(), sys.executable, "-c", "import tests.hosts.namespaces"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if reads.returncode:
        pytest.skip("another user can read neither this checkout nor its interpreter")
    ran = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", f'{hide} && exec {drop} "$@"', "sh"),
            *(*judge, json.dumps([[alive, dead]])),
        ],
        cwd=Path(__file__).parents[2],
        text=True,
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"hidden": True, "dead": [False, True]}
