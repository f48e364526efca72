"""Functions that misbehave, and processes that die: what is left of it, and what others notice."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from spoolq.runners.deadline import GRACE
from spoolq.runners.marks import Marks, find_marks, kill_found, kill_marked, set_mark
from spoolq.settings import Settings
from tests.runners.functions import Stage, started_by
from tests.runners.programs import Programs, alive
from tests.support import FakeClock, wait_for

DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for fd in range(64):
    try: os.close(fd)
    except OSError: pass
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def pid_in(path: Path) -> int:
    """The process that wrote its number there."""
    wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def start_daemon(path: str) -> None:
    """Start a process that does everything to get away, and wait until it is away."""
    subprocess.run([sys.executable, "-c", DAEMON, path], check=True, env={})
    while not Path(path).exists() or not Path(path).read_text():
        pass


# -- nothing survives ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["returns", "exits", "is killed"])
def test_a_daemon_does_not_survive_the_job_that_started_it(
    processes: Stage, tmp_path: Path, end: str
) -> None:
    def start(path: str, end: str) -> None:
        start_daemon(path)
        if end == "exits":
            os._exit(3)
        if end == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)

    path = tmp_path / "daemon"
    outcome = processes.run(processes.add(start), str(path), end)
    assert outcome.ok is (end == "returns")
    assert not alive(pid_in(path))  # at once: before the end was told


def test_a_daemon_of_a_program_does_not_survive_it(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    path = tmp_path / "pid"
    programs.add(
        "daemon",
        f"{sys.executable} {tmp_path}/daemon.py {path}\nwhile [ ! -s {path} ]; do :; done",
    )
    assert programs.run("daemon").ok
    assert not alive(pid_in(path))


def test_a_daemon_of_a_workers_program_ends_soon_after_it(tmp_path: Path) -> None:
    from spoolq import Spool

    stage = Stage(Spool(tmp_path / "spool", durability="none"), "fork")
    path = tmp_path / "daemon"
    try:
        script = '"$0" -c "$1" "$2"; while [ ! -s "$2" ]; do :; done'
        assert stage.run("exec", "sh", "-c", script, sys.executable, DAEMON, str(path)).ok
        pid = pid_in(path)
        wait_for(lambda: not alive(pid))
    finally:
        stage.close()


def test_a_process_that_only_another_job_started_lives_on(processes: Stage, tmp_path: Path) -> None:
    def keep(path: str) -> None:
        start_daemon(path)
        signal.pause()

    def die() -> None:
        os._exit(1)

    name, other = processes.add(keep), processes.add(die)
    run = processes.start(name, str(tmp_path / "daemon"))
    pid = pid_in(tmp_path / "daemon")
    assert not processes.run(other).ok
    assert alive(pid)
    run.kill(signal.SIGKILL)
    processes.end(run)
    assert not alive(pid)


def test_a_thread_that_goes_on_ends_with_its_child(pool: Stage) -> None:
    def start() -> int:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return os.getpid()

    name = pool.add(start)
    assert pool.run(name).result != pool.run(name).result


def test_nothing_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, signal, subprocess, sys
from pathlib import Path
from tests.runners.functions import Stage
from tests.runners.test_hostile_functions import start_daemon
from spoolq import Spool
stage = Stage(Spool({str(tmp_path / "spool")!r}, durability="none"), "fork")
def work(path):
    start_daemon(path + "/daemon")
    Path(path, "function").write_text(str(os.getpid()))
    signal.pause()
name = stage.add(work)
run = stage.start(name, {str(tmp_path)!r})
program = stage.start("exec", "sh", "-c", "trap '' TERM HUP; sleep 600 & wait")
Path({str(tmp_path)!r}, "program").write_text(str(program.pid))
Path({str(tmp_path)!r}, "zygote").write_text(str(stage.performers._zygote.pid))
signal.pause()
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], env={**os.environ}
    )
    pids = [pid_in(tmp_path / name) for name in ("daemon", "function", "program", "zygote")]
    assert all(alive(pid) for pid in pids)
    worker.kill()
    worker.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


# -- timeouts and signals ------------------------------------------------------------------------


def test_a_timeout_ends_a_function_with_term(processes: Stage) -> None:
    def hang() -> None:
        signal.pause()

    clock = FakeClock()
    name = processes.add(hang)
    processes.open(clock)
    run = processes.start(name, timeout=30)
    assert run.poll() is None
    clock.advance(31)
    outcome = processes.end(run)
    assert outcome.result == {"type": "Timeout", "message": "ended after its timeout of 30 s"}


def test_a_function_that_ignores_term_is_killed_after_the_grace(
    processes: Stage, tmp_path: Path
) -> None:
    def hang(path: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(path).touch()
        while True:
            signal.pause()

    clock = FakeClock()
    name = processes.add(hang)
    processes.open(clock)
    run = processes.start(name, str(tmp_path / "ready"), timeout=30)
    wait_for((tmp_path / "ready").exists)
    clock.advance(31)
    assert run.poll() is None
    clock.advance(GRACE + 1)
    assert processes.end(run).result["type"] == "Timeout"
    assert not alive(run.pid)


def test_a_function_that_kills_its_group_kills_only_itself(processes: Stage) -> None:
    def kill(number: int) -> None:
        os.kill(0, number)
        signal.pause()

    name = processes.add(kill)
    assert processes.run(name, 15).result == (
        "Job terminated unexpectedly (exit code: 0, signal: 15)"
    )


def test_a_kill_that_comes_after_the_end_does_not_hit_the_next_job(pool: Stage) -> None:
    def quick(seconds: float) -> int:
        threading.Event().wait(seconds)
        return os.getpid()

    name = pool.add(quick)
    run = pool.start(name, 0)
    run.fileno()
    wait_for(lambda: _has_answered(run.fileno()))
    run.kill(signal.SIGTERM)  # it has ended, and nobody has heard of it
    assert pool.end(run).ok
    assert pool.run(name, 0.1).ok


def _has_answered(fd: int | None) -> bool:
    assert fd is not None
    return bool(select.select([fd], [], [], 0)[0])


def test_a_run_that_has_ended_is_sent_nothing(stage: Stage) -> None:
    def quick() -> int:
        return 1

    name = stage.add(quick)
    run = stage.start(name)
    assert run.wait(20) == stage.end(run) == run.wait(0)
    run.kill(signal.SIGKILL)
    assert stage.run(name).ok


# -- the connection ------------------------------------------------------------------------------


def sockets() -> list[int]:
    """The descriptors of this process that lead to the worker."""
    found = []
    for fd in range(3, 256):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(fd)
        except FileNotFoundError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "garbage",
    [b"no json", b"[]", b"{}", b'["end"]', b'["end", 77, 1, 1, 1, 1]', b'["born", "x"]', b"@", b""],
)
def test_garbage_in_the_answer_ends_that_job_and_no_other(processes: Stage, garbage: bytes) -> None:
    def write(text: str) -> None:
        if text != "fine":
            for fd in sockets():
                with suppress(OSError):  # one that the test runner has left open
                    socket.socket(fileno=os.dup(fd)).send(text.encode(), socket.MSG_DONTWAIT)
            signal.pause()

    name = processes.add(write)
    outcome = processes.run(name, garbage.decode())
    assert not outcome.ok
    assert processes.run(name, "fine").ok
    wait_for(lambda: len(started_by(processes.performers)) <= 3)


def test_a_flood_of_garbage_does_not_hold_up_anybody(processes: Stage) -> None:
    def flood() -> None:
        while True:
            for fd in sockets():
                with suppress(OSError):
                    os.write(fd, b"x" * 1000)

    def fine() -> int:
        return 1

    name, other = processes.add(flood), processes.add(fine)
    run = processes.start(name)
    assert processes.run(other).ok
    assert not processes.end(run).ok


def test_a_job_that_closes_every_descriptor_has_failed(processes: Stage, tmp_path: Path) -> None:
    def close(path: str) -> None:
        os.closerange(0, 256)
        for number in range(40):  # these get the numbers that were ours
            os.open(f"{path}/{number}", os.O_CREAT | os.O_WRONLY)

    def fine() -> int:
        return 1

    name, other = processes.add(close), processes.add(fine)
    assert not processes.run(name, str(tmp_path)).ok
    assert [path for path in tmp_path.glob("[0-9]*") if path.stat().st_size] == []
    assert processes.run(other).ok


def test_when_the_zygote_dies_its_jobs_fail_and_a_new_one_is_forked(
    stage: Stage, tmp_path: Path
) -> None:
    def work(path: str) -> str:
        if path:
            start_daemon(path)
            signal.pause()
        return "done"

    path = tmp_path / "daemon"
    name = stage.add(work)
    run = stage.start(name, str(path))
    pid = pid_in(path)
    zygote = stage.performers._zygote.pid
    os.kill(zygote, signal.SIGKILL)
    outcome = stage.end(run)
    assert not outcome.ok
    assert outcome.result.startswith("Job terminated unexpectedly")
    assert stage.run(name, "").result == "done"
    assert stage.performers._zygote.pid != zygote
    wait_for(lambda: not alive(pid))


def test_a_system_without_processes_is_an_error_at_the_start(
    processes: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def work() -> None: ...

    name = processes.add(work)
    fork, here = os.fork, os.getpid()
    monkeypatch.setattr(os, "fork", lambda: refuse() if os.getpid() != here else fork())
    job = processes.claim(name)
    with pytest.raises(BlockingIOError):
        processes.performers.start(job)


# -- children that stay --------------------------------------------------------------------------


def test_a_child_of_a_pool_performs_one_job_after_another(pool: Stage) -> None:
    def who() -> int:
        return os.getpid()

    name = pool.add(who)
    assert len({pool.run(name).result for _ in range(5)}) == 1


def test_a_child_is_recycled_after_so_many_jobs(pool: Stage) -> None:
    def who() -> int:
        return os.getpid()

    name = pool.add(who)
    pool.open(recycle_after=2)
    jobs = Counter(pool.run(name).result for _ in range(12))
    assert set(jobs.values()) <= {1, 2}
    worn = [pid for pid, number in jobs.items() if number == 2]
    wait_for(lambda: not any(map(alive, worn)))


def test_a_child_that_has_grown_is_replaced(pool: Stage) -> None:
    kept: list[bytes] = []

    def grow(size: int) -> int:
        kept.append(b"x" * size)
        return os.getpid()

    name = pool.add(grow)
    pool.open(max_memory=150_000_000)
    large = pool.run(name, 200_000_000).result
    assert large not in [pool.run(name, 10).result for _ in range(5)]


def test_children_that_die_while_they_wait_are_replaced(pool: Stage) -> None:
    def who() -> int:
        return os.getpid()

    name = pool.add(who)
    first = pool.run(name).result
    for pid in started_by(pool.performers):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(first))
    assert pool.run(name).ok


def test_a_job_of_fork_never_meets_another(tmp_path: Path) -> None:
    from spoolq import Spool

    stage = Stage(Spool(tmp_path / "spool", durability="none"), "fork")
    try:
        name = stage.add(os.getpid)
        assert len({stage.run(name).result for _ in range(4)}) == 4
    finally:
        stage.close()


# -- coroutines ----------------------------------------------------------------------------------


def test_coroutines_run_at_the_same_time_in_one_child(aio: Stage) -> None:
    together: list[int] = []

    @aio.spool.task
    async def meet() -> int:
        together.append(1)
        while len(together) < 30:
            await asyncio.sleep(0.001)
        return os.getpid()

    runs = [aio.start(meet.name) for _ in range(30)]
    assert len({aio.end(run).result for run in runs}) == 1


def test_a_kill_cancels_one_coroutine_and_no_other(aio: Stage, tmp_path: Path) -> None:
    @aio.spool.task
    async def hang(path: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            Path(path).touch()

    runs = [aio.start(hang.name, str(tmp_path / name)) for name in "ab"]
    runs[0].kill(signal.SIGTERM)
    outcome = aio.end(runs[0])
    assert outcome.result == "Job terminated unexpectedly (exit code: 0, signal: 15)"
    assert (tmp_path / "a").exists()
    assert runs[1].poll() is None


def test_a_coroutine_whose_own_task_was_cancelled_says_so(aio: Stage) -> None:
    @aio.spool.task
    async def impatient() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel("changed my mind")
        await inner

    result = aio.end(aio.start(impatient.name)).result
    assert (result["type"], result["message"]) == ("CancelledError", "changed my mind")


def test_a_coroutine_that_swallows_its_cancellation_is_given_up(aio: Stage, tmp_path: Path) -> None:
    @aio.spool.task
    async def deaf(path: str) -> None:
        while True:
            try:
                Path(path).touch()
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                continue

    @aio.spool.task
    async def slow(path: str) -> str:
        while not Path(path).exists():
            await asyncio.sleep(0.001)
        return "undisturbed"

    clock = FakeClock()
    aio.open(clock)
    other = aio.start(slow.name, str(tmp_path / "go"))
    run = aio.start(deaf.name, str(tmp_path / "ready"), timeout=30)
    wait_for((tmp_path / "ready").exists)
    clock.advance(31)
    assert run.poll() is None
    wait_for(lambda: run.poll() is not None or getattr(run, "heard", False))
    clock.advance(GRACE + 1)
    assert aio.end(run).result["type"] == "Timeout"
    assert other.poll() is None
    (tmp_path / "go").touch()
    assert aio.end(other).result == "undisturbed"
    aio.performers.tend()
    wait_for(lambda: not alive(run.pid))


def test_a_child_whose_loop_is_held_up_is_killed(aio: Stage, tmp_path: Path) -> None:
    @aio.spool.task
    async def block(path: str) -> None:
        Path(path).touch()
        while True:
            signal.pause()

    clock = FakeClock()
    aio.open(clock)
    run = aio.start(block.name, str(tmp_path / "ready"), timeout=30)
    wait_for((tmp_path / "ready").exists)
    clock.advance(31)
    assert run.poll() is None
    clock.advance(GRACE + 1)
    assert aio.end(run).result["type"] == "Timeout"


def test_a_plain_function_is_no_coroutine(aio: Stage) -> None:
    @aio.spool.task
    def plain() -> None: ...

    outcome = aio.run(plain.name)
    assert outcome.result["type"] == "InvalidType"
    assert "async def" in outcome.result["message"]


# -- too much of everything ----------------------------------------------------------------------


def test_a_log_beyond_its_size_loses_its_middle_and_says_so(processes: Stage) -> None:
    def flood(lines: int) -> None:
        print("begin")
        for number in range(lines):
            print(f"{number:099}")
        print("end")

    processes.spool._registry.settings = Settings(max_log=100_000)
    assert processes.run(processes.add(flood), 5000).ok
    log = processes.log(1)
    assert len(log) < 100_000
    assert log.startswith("begin\n0000")
    assert log.endswith("4999\nend\n")
    dropped = 5000 * 100 + len("begin\nend\n") - 50_000 - 25_000
    said = re.search(r"\n\[spoolq: (\d+) bytes were left out here", log)
    # What a job writes in the middle of a cut is lost uncounted, where the machine is slow enough
    # for a cut before its end.
    assert said
    assert dropped / 2 < int(said[1]) <= dropped


@pytest.mark.slow
def test_a_flood_of_a_gigabyte_leaves_memory_and_disk_flat(programs: Programs) -> None:
    programs.add("flood", "head -c 1000000000 /dev/zero; echo; echo the end")
    settings = Settings(max_log=8_000_000)
    before = resident()
    run = programs.start("flood", settings=settings)
    largest = 0
    log = programs.root / "logs" / "1" / "300.0.log"
    while run.poll() is None:
        largest = max(largest, log.stat().st_size if log.exists() else 0)
        run.wait(0.05)
    assert programs.log.endswith("\nthe end\n")
    assert "bytes were left out here" in programs.log
    assert log.stat().st_size < 8_000_000
    assert resident() - before < 50_000_000
    assert largest < 1_000_000_000


def resident() -> int:
    """The memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


NOBODY = 54321


@pytest.fixture
def nobodys_processes() -> Iterator[None]:
    """Whatever the test comes to, no process of this user is left."""
    yield
    kill_found(lambda: [pid for pid in everybody() if _owner(pid) == NOBODY and alive(pid)])


def everybody() -> list[int]:
    """All processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _owner(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return -1


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="the limit must not count the user's own processes")
@pytest.mark.usefixtures("nobodys_processes")
def test_a_fork_bomb_under_a_limit_fails_only_itself(processes: Stage, tmp_path: Path) -> None:
    def bomb(path: str) -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (30, 30))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        os.setuid(NOBODY)
        while True:
            try:
                if os.fork() == 0:
                    os.setsid()
            except OSError:
                Path(path).touch()
                threading.Event().wait(0.05)

    def fine() -> int:
        return 1

    tmp_path.chmod(0o777)
    for above in (tmp_path.parent, tmp_path.parent.parent, tmp_path.parent.parent.parent):
        above.chmod(0o711)
    name, other = processes.add(bomb), processes.add(fine)
    run = processes.start(name, str(tmp_path / "full"))
    wait_for(lambda: len(started_by(processes.performers)) > 20)
    assert processes.run(other).ok
    run.kill(signal.SIGKILL)
    assert not processes.end(run).ok
    assert [pid for pid in everybody() if _owner(pid) == NOBODY and alive(pid)] == []


def test_a_process_of_another_user_is_found_by_its_mark(nobodys_processes: None) -> None:
    if os.geteuid() != 0:
        pytest.skip("becomes somebody else")
    mark = Marks().take()
    before = set_mark(mark)
    marked = subprocess.Popen(["sleep", "600"], user=NOBODY)
    set_mark(before)
    assert find_marks(mark, mark) == [(marked.pid, mark)]
    assert kill_marked(mark) == 1
    assert marked.wait() == -signal.SIGKILL


def test_marks_are_found_and_nothing_else_is_killed() -> None:
    mark = Marks().take()
    before = set_mark(mark)
    marked = subprocess.Popen(["sleep", "600"], start_new_session=True)
    set_mark(before)
    other = subprocess.Popen(["sleep", "600"])
    assert kill_marked(mark) == 1
    assert marked.wait() == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
