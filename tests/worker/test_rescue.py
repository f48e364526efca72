"""Workers that die: who notices, how fast, and who is not taken for dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from spoolq.files import registry
from spoolq.files.store import FileBackend
from spoolq.liveness import Beacon, is_dark
from spoolq.loop.plan import Terms
from tests.client.world import info
from tests.support import FakeClock, wait_for
from tests.worker.conftest import Running
from tests.worker.test_run import BURST, Gate

WORKER = """
    import sys, time
    from pathlib import Path
    from spoolq import Spool

    spool = Spool(sys.argv[1], durability="none")

    @spool.task
    def hold(path):
        Path(path + ".started").touch()
        while not Path(path).exists():
            time.sleep(0.01)

    @spool.task
    def noop():
        pass

    spool.worker(**eval(sys.argv[2])).run()
"""


class Process:
    """A worker in a process of its own."""

    def __init__(self, root: str, **status: Any) -> None:
        code = textwrap.dedent(WORKER)
        self.process = subprocess.Popen([sys.executable, "-c", code, root, repr(status)])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.end()


def test_a_worker_that_dies_here_is_noticed_at_once_by_another(
    file_spool: Spool, running: Running, processes: list[Process], tmp_path: Path
) -> None:
    job = file_spool.enqueue("hold", [str(tmp_path / "gate")], attempts=2)
    processes.append(Process(str(file_spool.root)))
    wait_for((tmp_path / "gate.started").exists)
    running(file_spool, queues=["other"])

    processes[0].process.kill()
    processes[0].process.wait()
    wait_for(lambda: info(job).state != "active", timeout=3)

    assert (info(job).state, info(job).retries) == ("inactive", 1)
    (tmp_path / "gate").touch()


@pytest.mark.minion(401)
def test_a_worker_that_starts_finds_those_that_died_before(
    file_spool: Spool, processes: list[Process], tmp_path: Path
) -> None:
    job = file_spool.enqueue("hold", [str(tmp_path / "gate")])
    processes.append(Process(str(file_spool.root)))
    wait_for((tmp_path / "gate.started").exists)
    processes[0].process.kill()
    processes[0].process.wait()
    assert info(job).state == "active"

    file_spool.worker().run(BURST)

    assert (info(job).state, info(job).result) == ("failed", "Worker went away")
    (tmp_path / "gate").touch()


def test_a_worker_that_was_stopped_for_too_long_finds_its_job_taken_and_says_so(
    tmp_path: Path, running: Running, processes: list[Process]
) -> None:
    root = tmp_path / "spool"
    root.mkdir()
    root.chmod(0o700)
    (root / "spoolq.toml").write_text("missing_after = 0.6\n")
    spool = Spool(root, durability="none")
    job = spool.enqueue("hold", [str(tmp_path / "gate")], attempts=2)
    processes.append(Process(str(root)))
    wait_for((tmp_path / "gate.started").exists)
    running(spool, queues=["other"])

    processes[0].process.send_signal(signal.SIGSTOP)
    wait_for(lambda: info(job).state != "active")
    assert info(job).retries == 1
    processes[0].process.send_signal(signal.SIGCONT)

    def refused() -> list[dict[str, Any]]:
        texts = [path.read_text() for path in (root / "incidents").glob("*.json")]
        found = [json.loads(text) for text in texts if text.endswith("\n")]  # it is written whole
        return [one for one in found if one["incident"] == "outcome refused"]

    wait_for(refused)
    [said] = refused()
    assert (said["job"], said["retries"]) == (job.id, 0)
    (tmp_path / "gate").touch()


def test_a_worker_that_was_declared_dead_and_lives_goes_on_under_its_id(
    file_spool: Spool, tmp_path: Path, running: Running
) -> None:
    gate = Gate(file_spool, tmp_path)
    job = gate.enqueue()
    worker = running(file_spool, Terms(grace=0), heartbeat_interval=0.1)
    wait_for(lambda: gate.started == 1)
    id_ = worker.id
    assert id_ is not None

    file_spool.backend.unregister_worker(id_)  # what a repairer on another host would do
    other = Spool(str(file_spool.root), durability="none")
    other.repair()
    wait_for(lambda: worker.info() is not None and worker.status["performed"] == 1)

    assert worker.id == id_
    assert (info(job).state, info(job).result) == ("failed", "Worker went away")
    gate.open()
    file_spool.add_task("noop", lambda: None)
    next_job = file_spool.enqueue("noop")
    wait_for(lambda: info(next_job).state == "finished")


# -- other hosts ---------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register the workers of another host: its boot is another, its name and pids the same."""

    def register(backend: FileBackend) -> int:
        here = registry.this_process()
        with monkeypatch.context() as patch:
            patch.setattr(registry, "this_process", lambda: {**here, "boot": "another"})
            return backend.register_worker()

    return register


def backend_at(tmp_path: Path, clock: FakeClock) -> FileBackend:
    return FileBackend(str(tmp_path / "spool"), clock=clock, durability="none", missing_after=60)


def test_a_worker_of_another_host_is_judged_by_the_watcher_s_own_clock(
    tmp_path: Path, clock: FakeClock, elsewhere: Any
) -> None:
    there, here = backend_at(tmp_path, clock), backend_at(tmp_path, clock)
    worker = elsewhere(there)
    here.attend()
    assert not here.rescue()

    for _ in range(6):
        clock.advance(10)
        assert not here.rescue()
    clock.advance(1)

    assert here.rescue()
    assert worker not in [row.id for row in here.list_workers().rows]


def test_clocks_that_differ_do_not_kill_a_worker_that_beats(
    tmp_path: Path, clock: FakeClock, elsewhere: Any
) -> None:
    behind = FakeClock(clock.wall() - 100_000)
    there, here = backend_at(tmp_path, behind), backend_at(tmp_path, clock)
    worker = elsewhere(there)
    here.attend()

    for _ in range(20):
        clock.advance(10)
        there.register_worker(worker)
        assert not here.rescue()
        here.repair()

    assert [row.id for row in here.list_workers().rows] == [worker]


def test_a_watcher_that_did_not_look_for_long_begins_anew(
    tmp_path: Path, clock: FakeClock, elsewhere: Any
) -> None:
    there, here = backend_at(tmp_path, clock), backend_at(tmp_path, clock)
    elsewhere(there)
    here.attend()
    here.rescue()

    clock.advance(1000)  # asleep, as the other may have been

    assert not here.rescue()


def test_a_wall_clock_that_jumps_kills_nobody(
    tmp_path: Path, clock: FakeClock, elsewhere: Any
) -> None:
    there, here = backend_at(tmp_path, clock), backend_at(tmp_path, clock)
    elsewhere(there)
    here.attend()
    here.rescue()

    clock.jump(1_000_000)

    assert not here.rescue()


def test_two_hosts_with_the_same_name_and_the_same_pid_do_not_confuse_each_other(
    tmp_path: Path, clock: FakeClock, elsewhere: Any
) -> None:
    there, here = backend_at(tmp_path, clock), backend_at(tmp_path, clock)
    theirs, ours = elsewhere(there), here.register_worker()
    one, other = (row for row in here.list_workers().rows if row.id in (theirs, ours))
    assert (one.host, one.pid) == (other.host, other.pid)

    here.attend()
    assert not here.rescue()
    here.unregister_worker(ours)

    assert [row.id for row in here.list_workers().rows] == [theirs]


# -- the beacon ----------------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setattr("spoolq.liveness._directory", lambda: str(directory))
    return directory


def test_a_beacon_burns_as_long_as_its_process_lives(private: Path) -> None:
    code = f"""
        import spoolq.liveness as liveness, json, sys
        liveness._directory = lambda: {str(private)!r}
        beacon = liveness.Beacon.light("x")
        print(json.dumps(beacon.sign()), flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    sign = json.loads(process.stdout.readline())
    burning = not is_dark(sign)

    process.kill()
    process.communicate()

    assert burning
    assert is_dark(sign)


def test_a_beacon_tells_across_pid_namespaces(
    tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    there, here = backend_at(tmp_path, clock), backend_at(tmp_path, clock)
    there.attend()
    here_is = registry.this_process()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "this_process", lambda: {**here_is, "namespace": 1})
        there.register_worker()
    here.attend()
    assert not here.rescue()

    assert there._registry._beacon is not None
    there._registry._beacon.put_out()  # what the system does when it dies

    assert here.rescue()


@pytest.mark.parametrize("change", ["other file", "gone", "other name", "no list", "no path"])
def test_a_beacon_that_is_not_the_very_file_proves_nothing(private: Path, change: str) -> None:
    beacon = Beacon.light("x")
    assert beacon is not None
    sign = beacon.sign()
    beacon.put_out()
    assert is_dark(sign)
    path = Path(sign["path"])
    if change == "other file":
        path.rename(private / "kept")
        path.touch()
    elif change == "gone":
        path.unlink()
    elif change == "other name":
        path = path.rename(private / "precious")
        sign = {**sign, "path": str(path)}
    else:
        sign = {**sign, **({"file": "x"} if change == "no list" else {"path": 3})}

    assert not is_dark(sign)


def test_who_lights_a_beacon_clears_away_those_of_the_dead(private: Path) -> None:
    dead = Beacon.light("dead")
    living = Beacon.light("living")
    assert dead is not None
    dead.put_out()
    (private / "foreign").touch()

    newest = Beacon.light("newest")

    assert {living, newest}.isdisjoint({None})
    assert sorted(os.listdir(private)) == ["foreign", "living.alive", "newest.alive"]
