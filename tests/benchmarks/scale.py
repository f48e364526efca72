"""A million waiting jobs: what must not get slower, and what may cost something."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from spoolq.backend import Backend
from tests.benchmarks.enqueue import repeat
from tests.benchmarks.measure import Step, alternate, per_second, percentile
from tests.benchmarks.processes import Helper
from tests.benchmarks.report import Goal, Row, at_least, compared
from tests.benchmarks.setting import NONE, Setting

FEW = 1_000
CHUNK = 10_000
PART = 500  # jobs claimed, or enqueued, in one round


def scale(setting: Setting) -> list[Row]:
    """Every figure of the scale goals, with the same spool a thousandth as full beside it."""
    many = setting.pick(1_000_000, 20_000)
    rounds = setting.pick(10, 4)
    large = setting.backend("scale-many", NONE)
    small = setting.backend("scale-few", NONE)
    ten = setting.backend("scale-ten", NONE)
    rows = [Row(f"build {many:,} waiting jobs", per_second(many, partial(_fill, large, many)))]
    setting.flush()
    with ExitStack() as stack:
        at = {
            name: stack.enter_context(_claimer(setting.path(f"scale-{name}")))
            for name in ("many", "few")
        }
        rows += _queries(at["many"], f"{many:,} waiting", many)
        rows += _claims(setting, at, small, many, rounds)
    _fill(ten, 10, say=False)
    steps: dict[str, Step] = {
        "many": partial(repeat, large.enqueue, PART),
        "ten": partial(repeat, ten.enqueue, PART),
    }
    rates = alternate(rounds, steps, between=setting.flush)
    phase = f"enqueue, {many:,} waiting"
    rows.append(compared(phase, rates["many"], "10 waiting", rates["ten"], goal=at_least(0.9)))
    return rows


def _queries(helper: Helper, where: str, many: int) -> list[Row]:
    cold, *warm = helper.ask("stats", 6)
    first, *others = helper.ask("newest", 11)
    lookups = helper.ask("lookup", 1000, 1, many)
    return [
        _milliseconds(f"stats, new process, {where}", cold, 500),
        _milliseconds(f"stats again, {where}", percentile(warm, 50)),
        _milliseconds(f"newest 100 listed, new process, {where}", first, 50),
        _milliseconds(f"newest 100 listed again, {where}", percentile(others, 50)),
        _milliseconds(f"look-up by id p50, {where}", percentile(lookups, 50), 0.2),
        _milliseconds(f"look-up by id p99, {where}", percentile(lookups, 99)),
    ]


def _claims(
    setting: Setting, at: dict[str, Helper], small: Backend, many: int, rounds: int
) -> list[Row]:
    latencies: list[float] = []

    def claim_many() -> float:
        answer = at["many"].ask("claim", PART)
        latencies.extend(answer["claims"])
        return PART / float(answer["seconds"])

    def claim_few() -> float:
        _fill(small, PART, say=False)
        setting.flush()  # the other spool's jobs are on disk as well
        return PART / float(at["few"].ask("claim", PART)["seconds"])

    _fill(small, FEW - PART, say=False)
    steps: dict[str, Step] = {"many": claim_many, "few": claim_few}
    rates = alternate(rounds, steps, between=setting.flush)
    where = f"{many:,} waiting"
    return [
        _milliseconds(f"claim p50, {where}", percentile(latencies, 50)),
        _milliseconds(f"claim p99, {where}", percentile(latencies, 99), 2),
        compared(
            f"claim+finish, {where}",
            rates["many"],
            f"{FEW:,} waiting",
            rates["few"],
            goal=at_least(0.7),
        ),
        Row(
            f"memory of the worker, {where}",
            float(at["many"].ask("memory")),
            "MB",
            goal=Goal("value", 200, at_most=True),
        ),
    ]


def _milliseconds(phase: str, seconds: float, most: float | None = None) -> Row:
    goal = None if most is None else Goal("value", most, at_most=True)
    return Row(phase, seconds * 1000, "ms", goal=goal)


def _claimer(root: str) -> Helper:
    return Helper([sys.executable, "-m", "tests.benchmarks.claimer", root])


def _fill(backend: Backend, count: int, *, say: bool = True) -> None:
    for start in range(0, count, CHUNK):
        backend.enqueue_many(_jobs(start, min(CHUNK, count - start)))
        if say and start % (CHUNK * 10) == 0:
            print(f"  {start:,} of {count:,} jobs stored", file=sys.stderr, flush=True)


def _jobs(start: int, count: int) -> Iterator[tuple[str, list[int]]]:
    return (("bar" if number % 2 else "foo", [number]) for number in range(start, start + count))
