"""`spoolq worker` as people run it: how many jobs a second, how soon it starts one, what it costs
when there is nothing to do. Start-up and shut-down of the worker are part of every rate."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spoolq import Job, Spool
from spoolq.logs import read_log
from tests.benchmarks.measure import alternate, per_second, percentile, spread
from tests.benchmarks.report import Goal, Row, at_least, compared
from tests.benchmarks.setting import FULL, NONE, Setting

ROUNDS = 3
APP = "tests.benchmarks.app"
REPOSITORY = str(Path(__file__).parents[2])


def worker(setting: Setting) -> list[Row]:
    """All rows."""
    return [
        *_rates(setting),
        *_pools(setting),
        *_beside_minion(setting),
        *(row for kind in ("pool", "fork", "executable") for row in _latency(setting, kind)),
        _awaited(setting),
        *_idle(setting),
    ]


# -- rates ---------------------------------------------------------------------------------------


def _rates(setting: Setting) -> list[Row]:
    """Programs beside xargs, forked functions beside a bare loop of fork and wait."""
    count = setting.pick(2000, 300)
    spool = setting.spool("rates", NONE)
    os.symlink("/bin/true", f"{spool.root}/jobs/true")
    answers = alternate(
        ROUNDS,
        {
            "true": lambda: _burst(spool, "true", count, "-j", "2"),
            "xargs": lambda: per_second(count, lambda: _xargs(count)),
            "fork": lambda: _burst(spool, "noop", count, "-j", "2", "--app", APP),
            "bare": lambda: per_second(count, lambda: _fork_and_wait(count)),
        },
        between=setting.flush,
    )
    return [
        compared(
            f"worker -j 2, {count} times true", answers["true"], "xargs -P2 -n1", answers["xargs"],
            goal=at_least(0.6),
        ),
        compared(
            f"worker -j 2, {count} forked no-ops", answers["fork"], "fork+wait on 2 cores",
            answers["bare"], goal=at_least(0.5),
        ),
    ]  # fmt: skip


def _pools(setting: Setting) -> Iterator[Row]:
    for durability, bound in ((NONE, 5000), (FULL, 2500)):
        count = setting.pick(10_000 if durability == NONE else 5000, 1000)
        spool = setting.spool(f"pool-{durability}", durability)
        rates = []
        for _ in range(ROUNDS):
            setting.flush()
            rates.append(_burst(spool, "noop", count, "-j", "8", "--app", APP, "--pool"))
        yield Row(
            f"worker --pool -j 8, {count} no-ops, {durability}",
            spread(rates).median,
            goal=Goal("value", bound),
        )


def _beside_minion(setting: Setting) -> Iterator[Row]:
    """Both fork a child for each job, four at a time, and keep what they commit."""
    if setting.minion is None:
        return
    count, minion = setting.pick(500, 100), setting.minion
    spool = setting.spool("forks", FULL)
    rates = alternate(
        ROUNDS,
        {
            "fork": lambda: _burst(spool, "noop", count, "-j", "4", "--app", APP),
            "Minion": lambda: float(minion.ask("work", 4, count)),
        },
        between=setting.flush,
    )
    yield compared(
        f"worker -j 4, {count} forked no-ops, {FULL}",
        rates["fork"],
        "Minion's worker",
        rates["Minion"],
        goal=at_least(3),
    )


def _burst(spool: Spool, task: str, count: int, *words: str) -> float:
    """Jobs a second of a worker that performs `count` jobs and leaves."""
    spool.enqueue_many([task] * count)
    rate = per_second(count, lambda: _start(spool, "--burst", "--spare", "0", *words).wait())
    left = spool.stats()["inactive_jobs"]
    assert left == 0, f"{left} jobs of {task} were left"
    return rate


def _xargs(count: int) -> None:
    lines = "".join(f"{number}\n" for number in range(count))
    subprocess.run(["xargs", "-P2", "-n1", "true"], input=lines.encode(), check=True)


def _fork_and_wait(count: int) -> None:
    """`count` forks, half of them in each of two small processes."""
    code = f"import os\nfor _ in range({count // 2}): os.waitpid(os.fork() or os._exit(0), 0)"
    halves = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    for half in halves:
        assert half.wait() == 0


def _start(spool: Spool, *words: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "SPOOLQ_ROOT": str(spool.root),
        "SPOOLQ_DURABILITY": FULL if spool.backend._fs.durable else NONE,  # type: ignore[attr-defined]
        "PYTHONPATH": REPOSITORY,
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    argv = [sys.executable, "-m", "spoolq", "worker", "--log-level", "warning", *words]
    return subprocess.Popen(argv, env=environment, cwd=REPOSITORY)


@contextmanager
def _running(spool: Spool, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(spool, *words)
    try:
        while not list(spool.workers()):
            time.sleep(0.01)
        time.sleep(0.5)  # until it waits
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


# -- latency -------------------------------------------------------------------------------------


def _latency(setting: Setting, kind: str) -> Iterator[Row]:
    """From before the enqueue call to the first thing the job does, and to its result in the hands
    of who waits for it, on an idle worker."""
    count = setting.pick(200, 40)
    spool = setting.spool(f"latency-{kind}", NONE)
    os.symlink("/bin/date", f"{spool.root}/jobs/date")
    words = () if kind == "executable" else ("--app", APP, "--runner", kind)
    started, seen = [], []
    with _running(spool, "-j", "2", *words):
        for _ in range(count):
            time.sleep(0.02)
            start, end = _start_one(spool, kind)
            started.append(start * 1000)
            seen.append(end * 1000)
    for what, took, p50, p99 in (
        ("start", started, 2 if kind == "pool" else 4, 20),
        ("result", seen, 6, None),
    ):
        yield Row(f"enqueue to {what}, {kind}, p50", percentile(took, 50), "ms", goal=_most(p50))
        goal = None if p99 is None else _most(p99)
        yield Row(f"enqueue to {what}, {kind}, p99", percentile(took, 99), "ms", goal=goal)


def _most(value: float) -> Goal:
    return Goal("value", value, at_most=True)


def _start_one(spool: Spool, kind: str) -> tuple[float, float]:
    """Seconds until it was started, and until its result was there."""
    begun = time.time()
    task, args = ("date", ["+%s.%N"]) if kind == "executable" else ("now", [])
    job = spool.enqueue(task, args)
    result: Any = job.result(timeout=10)
    seen = time.time() - begun
    if kind == "executable":
        result = read_log(str(spool.root), job.id, 0) or b""
    return float(result) - begun, seen


def _awaited(setting: Setting) -> Row:
    """From the end of a task until one of many that wait in one loop has its result. The tasks
    leave the machine idle half of the time: else it would be a measure of the machine."""
    count = setting.pick(1000, 100)
    spool = setting.spool("awaited", NONE)
    ids = spool.enqueue_many(["nap"] * count)
    late: list[float] = []

    async def one(job: Job) -> None:
        ended: Any = await job
        late.append((time.time() - ended) * 1000)

    async def all_of_them() -> None:
        jobs = [job for id_ in ids if (job := spool.job(id_))]
        waiting = [asyncio.ensure_future(one(job)) for job in jobs]
        await asyncio.sleep(2)  # until everybody waits
        with _running(spool, "-j", "1", "--app", APP, "--pool"):
            await asyncio.gather(*waiting)

    asyncio.run(all_of_them())
    phase = f"{count} awaited results, from a task's end to its waiter, p50"
    return Row(phase, percentile(late, 50), "ms", goal=_most(10))


# -- idle ----------------------------------------------------------------------------------------


def _idle(setting: Setting) -> list[Row]:
    """What a worker costs that has nothing to do, beside many finished jobs."""
    finished, seconds = setting.pick(100_000, 2000), setting.pick(60, 5)
    spool = setting.spool("idle", NONE)
    worker = spool.worker().register()
    for _ in range(finished // 1000):
        spool.enqueue_many(["noop"] * 1000)
        claimed = [worker.dequeue(0, tasks=["noop"]) for _ in range(1000)]
        spool.backend.finish_jobs([(job.id, 0, None) for job in claimed if job])
    worker.unregister()
    with _running(spool) as process:
        before = _cpu(process.pid)
        time.sleep(seconds)
        spent = (_cpu(process.pid) - before) * 60 / seconds
        memory = _resident(process.pid)
    return [
        Row(
            f"idle for a minute, {finished} finished jobs",
            spent,
            "s of CPU",
            goal=_most(0.3),
        ),
        Row("memory of an idle worker", memory, "MB", goal=_most(45)),
    ]


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process and its threads have spent; proc(5), /proc/PID/schedstat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
