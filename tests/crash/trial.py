"""One fault in one scenario: what is right, what happened, and whether the two agree.

The memory backend says what is right after 0, 1, … acts. A spool that met with a fault during
act n, and was repaired, must show what was right before that act or after it, nothing between.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from spoolq.backend import Backend
from spoolq.files.store import FileBackend
from spoolq.memory import MemoryBackend
from spoolq.settings import Settings
from tests.crash.scenarios import Act, Scenario, World
from tests.support import FakeClock
from tests.support.checker import check_no_leftovers, check_spool, repair_twice
from tests.support.faults import Mount, Plan, watched

Sight = dict[str, Any]
"""All that can be seen of a spool: jobs, workers, locks and commands, by a name for each."""

_MOMENT = 1_000_000.0  # seconds until everything that waits for a time is due


@dataclass(frozen=True)
class Right:
    """What is right after some acts: what they answered, what is to be seen, what can be run."""

    answers: list[Any]
    sight: Sight
    runnable: list[int]


class OnTestTime(FileBackend):
    """A backend that goes by the clock of the test, also where the file server's counts."""

    def _now(self) -> float:
        return self._clock.wall()


class HoursLater(OnTestTime):
    """A backend for which all files on the disk are hours old."""

    def _disk_time(self) -> float:
        return super()._disk_time() + 7_200


def open_spool(
    root: str,
    scenario: Scenario,
    clock: FakeClock,
    plan: Plan,
    *,
    durability: str = "none",
    mount: Mount = "ext4",
    kind: type[FileBackend] = OnTestTime,
) -> FileBackend:
    """The spool of a scenario, on a watched disk."""
    return kind(
        root,
        clock=clock,
        settings=Settings(mode=scenario.mode, ballast=0, low_water=0),
        durability=durability,
        filesystem=watched(plan, mount),
        **scenario.options,
    )


class Ground:
    """A scenario's spool as it is before the acts, to be copied for every trial."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.scenario = scenario
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._base = directory / "base"
        self._trials = 0
        self.clock = FakeClock()
        self.memo: dict[str, Any] = {}
        self.born: list[str] = []
        if not scenario.fresh:
            plan = Plan()
            world = World(
                open_spool(str(self._base), scenario, self.clock, plan), self.clock, str(self._base)
            )
            scenario.prepare(world)
            self.memo = world.memo
            self.born = plan.born

    def copy(self, base: str = "") -> str:
        """The root of a fresh copy, of another spool if one is given."""
        root = f"{self.place()}/spool"
        if base or not self.scenario.fresh:
            shutil.copytree(base or self._base, root)
        return root

    def place(self) -> str:
        """A new empty directory, for one spool."""
        self._trials += 1
        directory = self._directory / f"trial-{self._trials}"
        directory.mkdir()
        return str(directory)

    def world(self, backend: Backend, clock: FakeClock, root: str) -> World:
        """A world on a copy, with what the preparation has left in the memo."""
        return World(backend, clock, root, json.loads(json.dumps(self.memo)))

    def now(self, seconds: float = 0) -> FakeClock:
        """A clock that shows the time after the preparation, or some seconds later."""
        return FakeClock(self.clock.wall() + seconds)


def issued(scenario: Scenario, answers: Sequence[Any]) -> tuple[int, ...]:
    """The ids among the answers of the first acts."""
    found: list[int] = []
    for act, answer in zip(scenario.acts, answers, strict=False):
        if act.__name__ == "issue":
            found += answer if isinstance(answer, list) else [answer]
    return tuple(found)


def perform(world: World, acts: Sequence[Act], tell: Callable[[Any], None]) -> None:
    """Act, and tell the answer of each act as soon as it is there."""
    for act in acts:
        tell(plain(act(world)))


def plain(answer: Any) -> Any:
    """An answer as JSON gives it back."""
    return json.loads(json.dumps(answer))


@cache
def right(scenario: Scenario, acts: tuple[Act, ...], prepare: Act | None = None) -> Right:
    """What the memory backend answers and shows after these acts, later, and after repair."""
    clock = FakeClock()
    world = World(MemoryBackend(clock=clock, **scenario.options), clock)
    (prepare or scenario.prepare)(world)
    answers: list[Any] = []
    perform(world, acts, answers.append)
    clock.advance(scenario.later)
    world.backend.repair()
    seen = sight(world.backend, gaps=scenario.gaps)
    return Right(answers, seen, drain(world.backend, clock, gaps=scenario.gaps))


def sight(backend: Backend, *, gaps: bool = False) -> Sight:
    """Look at everything. With `gaps` jobs are numbered by their order instead of their ids."""
    rows = sorted(backend.list_jobs(0, 10_000).rows, key=lambda job: job.id)
    number = {job.id: place if gaps else job.id for place, job in enumerate(rows)}
    seen: Sight = {}
    for job in rows:
        shown = {**asdict(job), "id": number[job.id], "time": None}
        shown["parents"] = [number.get(id_, id_) for id_ in job.parents]
        shown["children"] = [number.get(id_, id_) for id_ in job.children]
        seen[f"job {number[job.id]}"] = shown
    for worker in backend.list_workers().rows:
        seen[f"worker {worker.id}"] = worker.notified
        seen[f"status of {worker.id}"] = worker.status
        for told in backend.receive(worker.id):
            seen[f"command {told} to {worker.id}"] = True
    schedules = sorted(backend.list_schedules(0, 100).rows, key=lambda item: item.id)
    for place, schedule in enumerate(schedules):
        shown = {**asdict(schedule), "last_job": number.get(schedule.last_job, schedule.last_job)}
        seen[f"schedule {schedule.name}"] = {**shown, "id": place if gaps else schedule.id}
    for queue, control in backend.controls().items():
        seen[f"queue {queue}"] = asdict(control)
    for lock in backend.list_locks().rows:
        seen[f"lock {lock.id}"] = (lock.name, lock.expires)
    return seen


def drain(backend: Backend, clock: FakeClock, *, gaps: bool = False) -> list[int]:
    """Everything that can be run when all delays are over, in the order in which it is run."""
    ids = sorted(job.id for job in backend.list_jobs(0, 10_000).rows)
    clock.advance(_MOMENT)
    worker = backend.register_worker()
    ran: list[int] = []
    while claimed := backend.dequeue(worker, queues=["default", "else", "a/b \n"]):
        ran.append(ids.index(claimed["id"]) if gaps else claimed["id"])
    return ran


@dataclass(frozen=True)
class Fault:
    """A spool after a fault: what was answered before it, and which names were given.

    After `power_loss` only what promises to last has to be there; workers, locks and commands
    do not.
    """

    root: str
    answers: list[Any]
    born: list[str]
    power_loss: bool = False
    mount: Mount = "ext4"
    issued: tuple[int, ...] = ()
    """Ids that were given out, whatever has become of their jobs."""
    died: bool = True


def verify(ground: Ground, fault: Fault) -> None:
    """Assert that a spool is right after a fault, when it has been repaired by somebody else."""
    scenario, acked = ground.scenario, len(fault.answers)
    answers = right(scenario, scenario.acts[:acked]).answers
    assert fault.answers == answers, f"answered {fault.answers}, and not {answers}"
    first = acked
    while fault.power_loss and first and not scenario.lasts(first - 1):
        first -= 1
    last = min(acked + 1, len(scenario.acts))
    allowed = [right(scenario, scenario.acts[:count]) for count in range(first, last + 1)]
    if scenario.also:
        allowed.append(right(scenario, (), scenario.also))
    check(ground, fault, allowed)


def verify_together(ground: Ground, fault: Fault, begun: int) -> None:
    """Assert that a spool is right when an act was begun, met with a fault, and was done again.

    It was act number `begun`, which may have happened the first time or not; all acts that
    follow have been done as well. Who answered False has not changed anything that has to last.
    """
    scenario = replace(ground.scenario, gaps=True, piecemeal=True)
    acts, allowed = scenario.acts, []
    for before in (begun, begun + 1):
        last = len(acts)
        allowed.append(right(scenario, (*acts[:before], *acts[begun:])))
        while (
            fault.power_loss and last and not (fault.answers[last - 1] and scenario.lasts(last - 1))
        ):
            last -= 1
            done = acts[:last] if last <= begun else (*acts[:before], *acts[begun:last])
            allowed.append(right(scenario, done))
    if scenario.also:
        allowed.append(right(scenario, (), scenario.also))
    check(ground, fault, allowed, scenario)


def check(
    ground: Ground, fault: Fault, allowed: list[Right], scenario: Scenario | None = None
) -> None:
    """Repair what a fault has left, and assert that it is one of what is allowed."""
    scenario, root, plan = scenario or ground.scenario, fault.root, Plan()
    clock = ground.now(scenario.later)
    if fault.power_loss:
        plan.boot = "the next one"

    def reopened(kind: type[FileBackend] = OnTestTime) -> FileBackend:
        return open_spool(root, scenario, clock, plan, mount=fault.mount, kind=kind)

    first, second = reopened(), reopened()
    repair_twice(first.repair, second.repair, root)
    certain = set.intersection(*(_jobs(item.sight) for item in allowed))
    check_spool(
        root,
        acked=() if scenario.gaps else certain,
        born=() if scenario.renewed else [*ground.born, *fault.born, *plan.born],
        set_aside=scenario.set_aside,
    )
    reopened(HoursLater).repair()
    check_no_leftovers(root)
    seen = plain(sight(second, gaps=scenario.gaps))
    ran = drain(second, clock, gaps=scenario.gaps)
    wanted = [(plain(item.sight), item.runnable) for item in allowed]
    if fault.power_loss:
        seen, wanted = _only_lasting(seen), [(_only_lasting(item), ids) for item, ids in wanted]
    in_parts = scenario.piecemeal or len(wanted) > 2
    (_agree_in_parts if in_parts else _agree)(seen, ran, wanted)
    assert second.enqueue("new") > max(fault.issued, default=0)
    shutil.rmtree(os.path.dirname(root))


Wanted = list[tuple[Sight, list[int]]]  # what may be seen, and what then can be run


def _only_lasting(seen: Sight) -> Sight:
    kinds = ("job ", "schedule ", "queue ")
    return {key: value for key, value in seen.items() if key.startswith(kinds)}


def _agree(seen: Sight, ran: list[int], wanted: Wanted) -> None:
    """All that is seen is what is right after the same number of acts."""
    runnable = [ids for item, ids in wanted if item == seen]
    if not runnable:
        keys = set(seen).union(*(item for item, _ in wanted))
        wrong = {key for key in keys if any(seen.get(key) != w.get(key) for w, _ in wanted)}
        raise AssertionError(_difference(wrong, seen, wanted))
    assert ran in runnable, f"ran {ran}, and not one of {runnable}"


def _agree_in_parts(seen: Sight, ran: list[int], wanted: Wanted) -> None:
    """Each job, and each schedule, for itself is as it is after some of the acts."""
    keys = set(_only_lasting(seen)).union(*(_only_lasting(item) for item, _ in wanted))
    wrong = {key for key in keys if all(seen.get(key) != w.get(key) for w, _ in wanted)}
    assert not wrong, _difference(wrong, seen, wanted)
    assert set(ran) <= set().union(*(ids for _, ids in wanted))
    assert len(ran) == len(set(ran)), f"ran {ran}"


def _difference(keys: set[str], seen: Sight, wanted: Wanted) -> str:
    lines = []
    for key in sorted(keys):
        lines.append(f"{key}:\n  is     {_brief(seen.get(key))}")
        lines += [f"  may be {_brief(item.get(key))}" for item, _ in wanted]
    return "\n".join(lines)


def _brief(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if item not in (None, [], {})}


def _jobs(seen: Sight) -> set[int]:
    return {int(key.split()[1]) for key in seen if key.startswith("job ")}


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
