"""Minion's own benchmark, phase by phase (contract 4.1): a benchmark of the backend alone.

Jobs are enqueued with 50 finished parents each, claimed in batches of 50 by four processes and
finished with a small result; no task is ever called. The long phases are cut into rounds, so that
all that are compared take turns; what is done, and in which order, stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count as counter
from typing import Protocol

from spoolq.backend import Backend
from spoolq.model import Claimed
from tests.benchmarks.measure import Step, alternate, per_second, spread
from tests.benchmarks.processes import Helper, in_processes
from tests.benchmarks.report import Goal, Row, at_least, compared
from tests.benchmarks.setting import FULL, NONE, Setting

SETTLED = "settled"
PROCESSES = 4
NAMES = ("foo", "bar")
DRAIN = f"dequeue+finish, {PROCESSES} processes"


@dataclass(frozen=True, slots=True)
class Amounts:
    """How often each phase does its work, in how many rounds."""

    parents: int = 50
    jobs: int = 20_000
    children: int = 500
    batches: int = 20
    size: int = 50
    repetitions: int = 2
    info: int = 100
    stats: int = 100
    repair: int = 10
    locks: int = 1_000
    rounds: int = 5


QUICK = Amounts(jobs=2_000, children=50, batches=4, info=50, stats=50, locks=200)


class Subject(Protocol):
    """One that takes part in the benchmark. What is timed answers in operations a second."""

    def prepare(self, parents: int) -> None:
        """Start empty, with that many finished jobs."""

    def enqueue(self, count: int) -> float:
        """Store jobs one by one, each with all the finished jobs as parents."""

    def children(self, count: int) -> None:
        """Store jobs that have every job so far (without the first finished ones) as parents."""

    def drain(self, batches: int, size: int) -> float:
        """Claim and finish with four processes."""

    def info(self, count: int) -> float:
        """Look up one job."""

    def stats(self, count: int) -> float:
        """Count everything."""

    def repair(self, count: int) -> float:
        """Look for something to put right."""

    def lock(self, count: int) -> float:
        """Take two locks in turns, each with room for all."""

    def unlock(self, count: int) -> float:
        """Release them."""


class SpoolSubject:
    """spoolq: `settle` makes the outcomes of a batch durable together."""

    def __init__(self, backend: Backend, *, settle: bool = False, limit: int = 500) -> None:
        self._backend = backend
        self._settle = settle
        self._limit = limit
        self._parents: list[int] = []
        self._jobs: list[int] = []
        self._locked = counter()
        self._unlocked = counter()

    def prepare(self, parents: int) -> None:
        backend = self._backend
        backend.reset(all=True)
        self._parents = [backend.enqueue("foo") for _ in range(parents)]
        worker = backend.register_worker()
        for parent in self._parents:
            claimed = backend.dequeue(worker, id=parent)
            assert claimed is not None
            assert backend.finish_job(parent, claimed["retries"])
        backend.unregister_worker(worker)

    def enqueue(self, count: int) -> float:
        def work() -> None:
            for number in range(count):
                task = NAMES[number % 2]
                self._jobs.append(self._backend.enqueue(task, parents=self._parents))

        return per_second(count, work)

    def fill(self, count: int) -> None:
        """The same jobs as `enqueue` stores, at once and not timed."""
        tasks = [NAMES[number % 2] for number in range(count)]
        self._jobs += self._backend.enqueue_many(tasks, parents=self._parents)

    def children(self, count: int) -> None:
        self._backend.enqueue_many(["foo"] * count, parents=self._jobs)

    def drain(self, batches: int, size: int) -> float:
        def work(_: int) -> None:
            share(self._backend, batches, size, settle=self._settle)

        return in_processes(PROCESSES, work, PROCESSES * batches * size).overall

    def info(self, count: int) -> float:
        def work() -> None:
            for number in range(count):
                assert self._backend.list_jobs(0, 1, ids=[number + 1]).rows

        return per_second(count, work)

    def stats(self, count: int) -> float:
        return per_second(count, lambda: [self._backend.stats() for _ in range(count)])

    def repair(self, count: int) -> float:
        return per_second(count, lambda: [self._backend.repair() for _ in range(count)])

    def lock(self, count: int) -> float:
        def work() -> None:
            for number in range(count):
                name = NAMES[next(self._locked) % 2]
                assert self._backend.lock(name, 3600, limit=self._limit), number

        return per_second(count, work)

    def unlock(self, count: int) -> float:
        def work() -> None:
            for number in range(count):
                assert self._backend.unlock(NAMES[next(self._unlocked) % 2]), number

        return per_second(count, work)


def share(backend: Backend, batches: int, size: int, *, settle: bool) -> None:
    """What one of the processes does: repair, register, then claim and finish batch by batch."""
    backend.repair()
    worker = backend.register_worker()
    for _ in range(batches):
        claims: list[Claimed] = []
        while len(claims) < size:
            claimed = backend.dequeue(worker, 0.5)
            if claimed is not None:
                claims.append(claimed)
        outcomes = [(c["id"], c["retries"], {"minion_bench": c["id"]}) for c in claims]
        if settle:
            assert all(backend.finish_jobs(outcomes))
        else:
            for outcome in outcomes:
                assert backend.finish_job(*outcome)
    backend.unregister_worker(worker)


class MinionSubject:
    """Minion on PostgreSQL: the same phases, done by `peers/minion.pl`."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper

    def prepare(self, parents: int) -> None:
        self._helper.ask("prepare", parents)

    def enqueue(self, count: int) -> float:
        return float(self._helper.ask("enqueue", count))

    def children(self, count: int) -> None:
        self._helper.ask("children", count)

    def drain(self, batches: int, size: int) -> float:
        return float(self._helper.ask("drain", PROCESSES, batches, size))

    def info(self, count: int) -> float:
        return float(self._helper.ask("info", count))

    def stats(self, count: int) -> float:
        return float(self._helper.ask("stats", count))

    def repair(self, count: int) -> float:
        return float(self._helper.ask("repair", count))

    def lock(self, count: int) -> float:
        return float(self._helper.ask("lock", count))

    def unlock(self, count: int) -> float:
        return float(self._helper.ask("unlock", count))


def phases(setting: Setting) -> list[Row]:
    """All phases, for each durability, beside the raw floor and beside Minion."""
    amounts = QUICK if setting.quick else Amounts()
    cached = SpoolSubject(setting.backend("minion-none", NONE))
    rows = _cached(setting, cached, amounts)
    setting.flush()
    settled = SpoolSubject(setting.backend("minion-settled", FULL), settle=True)
    subjects: dict[str, Subject] = {FULL: SpoolSubject(setting.backend("minion-full", FULL))}
    if setting.minion is not None:
        subjects["Minion"] = MinionSubject(setting.minion)
    for subject in (*subjects.values(), settled):
        subject.prepare(amounts.parents)
    rows += _enqueues(setting, subjects, amounts)
    settled.fill(amounts.jobs)
    for subject in (*subjects.values(), settled):
        subject.children(amounts.children)
    rows += _drains(setting, {**subjects, SETTLED: settled}, amounts)
    return rows + _queries(setting, {NONE: cached, **subjects}, amounts)


def _cached(setting: Setting, subject: SpoolSubject, amounts: Amounts) -> list[Row]:
    """Enqueue and drain without durability, and so without anything written out in between.

    What is still in memory is cheap to delete; once it is on disk, ext4 may have to tell the
    device about every block it frees.
    """
    subject.prepare(amounts.parents)
    rate = subject.enqueue(amounts.jobs)
    subject.children(amounts.children)
    floor = setting.floor("cached")
    batches, size = amounts.batches, amounts.size
    steps: dict[str, Step] = {
        "floor": partial(floor.drain, PROCESSES, batches, size, durable=False),
        NONE: partial(subject.drain, batches, size),
    }
    rates = alternate(amounts.repetitions, steps)
    row = compared(f"{DRAIN}, {NONE}", rates[NONE], "raw floor", rates["floor"])
    return [
        Row(f"enqueue with {amounts.parents} parents, {NONE}", rate),
        row,
        Row(row.phase, row.value, goal=Goal("value", 15_000)),
    ]


def _enqueues(setting: Setting, subjects: dict[str, Subject], amounts: Amounts) -> list[Row]:
    chunk = amounts.jobs // amounts.rounds
    steps = {name: partial(subject.enqueue, chunk) for name, subject in subjects.items()}
    rates = alternate(amounts.rounds, steps, between=setting.flush)
    phase = f"enqueue with {amounts.parents} parents"
    return _rows(phase, rates, {FULL: at_least(1.0)})


def _drains(setting: Setting, subjects: dict[str, Subject], amounts: Amounts) -> list[Row]:
    batches, size = amounts.batches, amounts.size
    floor = partial(setting.floor("drain").drain, PROCESSES, batches, size, durable=True)
    steps: dict[str, Step] = {
        name: partial(subject.drain, batches, size) for name, subject in subjects.items()
    }
    floors = {FULL: floor, SETTLED: partial(floor, settled=True)}
    steps |= {f"floor {name}": step for name, step in floors.items()}
    rates = alternate(amounts.repetitions, steps, between=setting.flush)
    rows = [
        compared(
            f"{DRAIN}, {name}",
            rates[name],
            "raw floor",
            rates.pop(f"floor {name}"),
            goal=at_least(0.8) if name == FULL else None,
        )
        for name in floors
    ]
    if "Minion" in rates:
        rows += _rows(DRAIN, rates, {FULL: at_least(1.2), SETTLED: at_least(4.0)})
    return rows


def _queries(setting: Setting, subjects: dict[str, Subject], amounts: Amounts) -> list[Row]:
    rows = []
    for phase, count, goal in (
        ("info", amounts.info, 3.0),
        ("stats", amounts.stats, 3.0),
        ("repair", amounts.repair, 3.0),
        ("lock", amounts.locks, 1.0),
        ("unlock", amounts.locks, 1.0),
    ):
        chunk = count // amounts.rounds
        steps: dict[str, Step] = {
            name: partial(getattr(subject, phase), chunk) for name, subject in subjects.items()
        }
        rates = alternate(amounts.rounds, steps, between=setting.flush)
        rows += _rows(phase, rates, {FULL: at_least(goal)})
    return rows


def _rows(phase: str, rates: dict[str, list[float]], goals: dict[str, Goal]) -> list[Row]:
    """A row for each of ours: beside Minion when it took part, by itself when it did not."""
    minion = rates.pop("Minion", None)
    if minion is None:
        return [Row(f"{phase}, {name}", spread(ours).median) for name, ours in rates.items()]
    return [
        compared(f"{phase}, {name}", ours, "Minion", minion, goal=goals.get(name))
        for name, ours in rates.items()
    ]
