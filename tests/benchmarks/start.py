"""Commands as people start them, one process each: what a loop in a shell pays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from spoolq.clock import SystemClock
from tests.benchmarks.measure import Step, alternate, ratios, spread
from tests.benchmarks.report import Goal, Row
from tests.benchmarks.setting import FULL, Setting

_ROUNDS = 15
_BARE = "python -c pass"
_MANY = 10_000
_THOUSAND = 1000
# Times what Python takes; 3 for the others.
_MOST = {"spoolq list, 1,000 jobs": 12, "spoolq stats": 12}


def start(setting: Setting) -> list[Row]:
    """Each command beside a Python that does nothing, and the 10,001st job beside the first."""
    few, thousand, many = (setting.path(name) for name in ("few", "thousand", "many"))
    setting.spool("few", FULL).repair()
    setting.spool("many", FULL).enqueue_many([("exec", ["true"])] * _MANY)
    setting.spool("thousand", FULL).enqueue_many([("resize", ["a.png"])] * _THOUSAND)
    program = os.path.join(os.path.dirname(sys.executable), "spoolq")
    on_few, on_thousand, on_many = ([program, "--root", root] for root in (few, thousand, many))
    commands = {
        "spoolq add": [*on_few, "add", "true"],
        "spoolq enqueue": [*on_few, "enqueue", "notify", "Title"],
        "miniq": [f"{os.path.dirname(program)}/miniq", "notify", "Title"],
        "spoolq add, 10,000 waiting": [*on_many, "add", "true"],
        "spoolq is": [*on_few, "is", "inactive", "1"],
        "spoolq count": [*on_few, "count"],
        "spoolq list, 1,000 jobs": [*on_thousand, "list"],
        "spoolq stats": [*on_few, "stats"],
    }
    env = {**os.environ, "SPOOLQ_ROOT": few, "SPOOLQ_AUTOSTART": "never"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    steps: dict[str, Step] = {_BARE: partial(_milliseconds, [sys.executable, "-c", "pass"], env)}
    steps |= {name: partial(_milliseconds, words, env) for name, words in commands.items()}
    alternate(1, steps)  # from here on everything is compiled and in memory
    taken = alternate(_ROUNDS, steps)
    rows = [_row(name, taken[name], _BARE, taken[_BARE], _MOST.get(name, 3)) for name in commands]
    first, later = "spoolq add", "spoolq add, 10,000 waiting"
    return [*rows, _row(later, taken[later], "the first", taken[first], 1.5)]


def lines(setting: Setting) -> list[Row]:
    """`enqueue --from`: a job a line, durable."""
    count = setting.pick(100_000, 10_000)
    text = setting.path("lines")
    with open(text, "w", encoding="utf-8") as file:
        file.writelines(f"photo-{number}.png\n" for number in range(count))
    words = [sys.executable, "-m", "spoolq", "--root", setting.path("lines-spool")]
    words += ["--durability", FULL, "enqueue", "resize", "--from", text]
    seconds = _milliseconds(words, dict(os.environ)) / 1000
    goal = Goal("value", 5000)
    return [Row(f"enqueue --from, {count:,} lines, {FULL}", count / seconds, goal=goal)]


def _row(
    phase: str, ours: Sequence[float], beside: str, theirs: Sequence[float], most: float
) -> Row:
    goal = Goal("ratio", most, at_most=True)
    there = spread(theirs).median
    return Row(phase, spread(ours).median, "ms", beside, there, ratios(ours, theirs), goal)


def _milliseconds(words: Sequence[str], env: dict[str, str]) -> float:
    clock = SystemClock()
    begin = clock.elapsed()
    subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
    return (clock.elapsed() - begin) * 1000
