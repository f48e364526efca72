"""The runners alone, without claims and commits: jobs a second that they start and end."""

from __future__ import annotations

import os
import select
import subprocess

from spoolq import Job, Spool
from spoolq.performing import Performers
from spoolq.runners import Run
from tests.benchmarks.measure import alternate, per_second
from tests.benchmarks.report import Goal, Row, at_least, compared
from tests.benchmarks.setting import NONE, Setting

ROUNDS = 3
SLOTS = 2


def runners(setting: Setting) -> list[Row]:
    """All rows. The bare loop forks this very program: it is as large as what a zygote forks."""
    spool = setting.spool("runners", NONE)
    spool.add_task("noop", _noop)
    os.symlink("/bin/true", f"{spool.root}/jobs/true")
    few, many = setting.pick(2000, 300), setting.pick(10_000, 2000)
    answers = alternate(
        ROUNDS,
        {
            "fork": lambda: _rate(spool, "fork", "noop", few),
            "bare": lambda: per_second(few, lambda: _fork_and_wait(few)),
            "true": lambda: _rate(spool, "fork", "true", few),
            "xargs": lambda: per_second(few, lambda: _xargs(few)),
            "pool": lambda: _rate(spool, "pool", "noop", many),
        },
    )
    fork, bare, true, xargs = (answers[name] for name in ("fork", "bare", "true", "xargs"))
    return [
        compared("fork, no-ops", fork, "fork+wait on 2 cores", bare, goal=at_least(0.5)),
        compared("executable, true", true, "xargs -P2 -n1 true", xargs, goal=at_least(0.6)),
        Row("pool, no-ops", sorted(answers["pool"])[ROUNDS // 2], goal=Goal("value", 5000)),
    ]


def _noop() -> None:
    pass


def _rate(spool: Spool, runner: str, task: str, count: int) -> float:
    performers = Performers(spool.backend, spool._registry, runner)
    try:
        performers.start(_job(spool, task, 0)).wait()  # everybody is there
        return per_second(count, lambda: _perform(performers, spool, task, count))
    finally:
        performers.close()


def _perform(performers: Performers, spool: Spool, task: str, count: int) -> None:
    """That many runs, a few at a time, as a worker's loop would do it."""
    poll, live = select.poll(), dict[int, Run]()
    for number in range(1, count + 1):
        run = performers.start(_job(spool, task, number))
        fd = run.fileno()
        assert fd is not None
        live[fd] = run
        poll.register(fd, select.POLLIN)
        while len(live) >= (SLOTS if number < count else 1):
            _collect(poll, live)
            performers.tend()


def _collect(poll: select.poll, live: dict[int, Run]) -> None:
    for fd, _ in poll.poll():
        outcome = live[fd].poll()
        if outcome is not None:
            assert outcome.ok, outcome
            poll.unregister(fd)
            del live[fd]


def _job(spool: Spool, task: str, number: int) -> Job:
    return Job(spool.backend, spool._registry, number, task, [], {})


def _fork_and_wait(count: int) -> None:
    halves = [_fork_half(count // SLOTS) for _ in range(SLOTS)]
    for half in halves:
        assert os.waitpid(half, 0)[1] == 0


def _fork_half(count: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    for _ in range(count):
        os.waitpid(os.fork() or os._exit(0), 0)
    os._exit(0)


def _xargs(count: int) -> None:
    lines = "".join(f"{number}\n" for number in range(count))
    subprocess.run(["xargs", f"-P{SLOTS}", "-n1", "true"], input=lines.encode(), check=True)
