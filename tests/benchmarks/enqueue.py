"""Storing jobs: one by one, and many at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.benchmarks.measure import Step, alternate, per_second
from tests.benchmarks.report import Goal, Row, at_least, compared
from tests.benchmarks.setting import DURABILITIES, FULL, NONE, Setting

GOALS = {NONE: at_least(0.5), FULL: at_least(0.8)}


def one_by_one(setting: Setting) -> list[Row]:
    """`Spool.enqueue` and `Backend.enqueue` beside the raw floor, and beside Minion."""
    rows = []
    for durability in DURABILITIES:
        count = setting.pick(*((3000, 1000) if durability == NONE else (1000, 300)))
        durable = durability == FULL
        spool = setting.spool(f"spool-{durability}", durability)
        backend = setting.backend(f"backend-{durability}", durability)
        steps: dict[str, Step] = {
            "floor": partial(setting.floor(durability).enqueue, count, durable=durable),
            "Backend": partial(repeat, backend.enqueue, count),
            "Spool": partial(repeat, spool.enqueue, count),
        }
        if durable and setting.minion is not None:
            steps["Minion"] = partial(setting.minion.ask, "single", count)
        rates = alternate(setting.pick(9, 5), steps, between=setting.flush)
        for name in ("Backend", "Spool"):
            phase = f"enqueue, durability {durability}, {name}"
            rows.append(
                compared(phase, rates[name], "raw floor", rates["floor"], goal=GOALS[durability])
            )
            if "Minion" in rates:
                rows.append(
                    compared(phase, rates[name], "Minion", rates["Minion"], goal=at_least(1.0))
                )
    return rows


def typed(setting: Setting) -> list[Row]:
    """A typed task beside `Spool.enqueue`: what checking a call costs."""
    count = setting.pick(3000, 1000)
    spool = setting.spool("typed", NONE)

    @spool.task
    def foo(number: int, *, width: int = 1) -> int:
        return number * width

    def by_task() -> None:
        for number in range(count):
            foo.enqueue(number, width=2)

    def by_name() -> None:
        for number in range(count):
            spool.enqueue("foo", [number], {"width": 2})

    steps: dict[str, Step] = {
        "typed": partial(per_second, count, by_task),
        "by name": partial(per_second, count, by_name),
    }
    rates = alternate(setting.pick(9, 5), steps, between=setting.flush)
    goal = at_least(1 / 1.3)
    return [
        compared(
            "enqueue by a typed task", rates["typed"], "Spool.enqueue", rates["by name"], goal=goal
        )
    ]


def batch(setting: Setting) -> list[Row]:
    """`enqueue_many` beside the raw floor of a batch."""
    rows = []
    count = setting.pick(10_000, 2_000)
    jobs = [("foo", [number]) for number in range(count)]
    for durability in DURABILITIES:
        backend = setting.backend(f"batch-{durability}", durability)
        floor = setting.floor(f"batch-{durability}")
        steps: dict[str, Step] = {
            "floor": partial(floor.batch, count, durable=durability == FULL),
            "spoolq": partial(per_second, count, partial(backend.enqueue_many, jobs)),
        }
        rates = alternate(setting.pick(7, 3), steps, between=setting.flush)
        phase = f"enqueue_many of {count:,}, durability {durability}"
        durable = durability == FULL
        goal = at_least(0.4) if durable else None
        row = compared(phase, rates["spoolq"], "raw batch floor", rates["floor"], goal=goal)
        rows.append(row)
        if durable:
            rows.append(Row(phase, row.value, goal=Goal("value", 10_000)))
    return rows


def repeat(enqueue: Callable[..., object], count: int) -> float:
    """Jobs a second, foo and bar in turns, each with one small argument."""

    def work() -> None:
        for number in range(count):
            enqueue("bar" if number % 2 else "foo", [number])

    return per_second(count, work)
