"""Rates taken in turns, so that a machine's good and bad moments fall on all sides alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Step = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several rounds, and how far they lay apart."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The spread of the ratios round by round: what both lived through cancels out."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def alternate(
    rounds: int, steps: Mapping[str, Step], *, between: Callable[[], None] | None = None
) -> dict[str, list[float]]:
    """Run all steps once a round, A B A B, and return what each of them answered, by round.

    `between` runs before each step: it gets what earlier steps left unwritten out of the way.
    """
    answers: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            if between is not None:
                between()
            answers[name].append(step())
    return answers


def per_second(count: int, work: Callable[[], object]) -> float:
    """Operations a second of a piece of work that does `count` of them."""
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)
