"""Rows of figures, and their two renderings: a Markdown table and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tests.benchmarks.measure import Spread, ratios, spread

HEAD = ("phase", "measured", "beside", "there", "ratio (min to max)", "goal", "ok")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row has to reach: a ratio to what stands beside it, or a figure by itself."""

    of: Literal["ratio", "value"]
    bound: float
    at_most: bool = False

    def met(self, row: Row) -> bool:
        """Whether the row reaches it."""
        figure = row.value if self.of == "value" or row.ratio is None else row.ratio.median
        return figure <= self.bound if self.at_most else figure >= self.bound

    def text(self, unit: str) -> str:
        """`≥ 0.5` for a ratio, `≥ 15,000/s` for a figure."""
        sign = "≤" if self.at_most else "≥"
        return (
            f"{sign} {self.bound:g}" if self.of == "ratio" else f"{sign} {figure(self.bound, unit)}"
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of the rounds, and the ratio to what ran in turns with it."""

    phase: str
    value: float
    unit: str = "/s"
    beside: str = ""
    there: float | None = None
    ratio: Spread | None = None
    goal: Goal | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.goal.met(self)

    def cells(self) -> list[str]:
        """What the table shows."""
        band = self.ratio
        return [
            self.phase,
            figure(self.value, self.unit),
            self.beside,
            "" if self.there is None else figure(self.there, self.unit),
            "" if band is None else f"{band.median:.2f} ({band.low:.2f} to {band.high:.2f})",
            "" if self.goal is None else self.goal.text(self.unit),
            {None: "", True: "yes", False: "NO"}[self.ok],
        ]


def compared(
    phase: str,
    ours: Sequence[float],
    beside: str,
    theirs: Sequence[float],
    *,
    goal: Goal | None = None,
) -> Row:
    """The row of two lists of rates that were taken in turns."""
    there = spread(theirs).median
    return Row(phase, spread(ours).median, "/s", beside, there, ratios(ours, theirs), goal)


def at_least(ratio: float) -> Goal:
    """A goal for the ratio."""
    return Goal("ratio", ratio)


def figure(value: float, unit: str) -> str:
    """A number that can be read at a glance, with its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}{unit if unit.startswith('/') else ' ' + unit}"


def table(rows: Iterable[Row]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(HEAD), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as plain values, unrounded."""
    return [{**asdict(row), "ok": row.ok} for row in rows]
