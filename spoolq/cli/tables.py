"""Tables: columns by need, fitted into a terminal; tabs and nothing cut for everybody else.

Pure: lines out of cells. Cells are escaped already.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

GAP: Final = "  "
EXTRA: Final = 5  # a rank: what goes before anything else is cut


class Column(NamedTuple):
    """One column of a table on a terminal."""

    name: str
    right: bool = False
    """Whether its cells are numbers, which end below each other."""
    least: int | None = None
    """How few characters its cells may be cut to when the terminal is narrow; None: never cut."""
    rank: int = 0
    """Of the columns that a narrow terminal does without the highest goes first; 0 stays."""
    paint: Callable[[str], str] | None = None
    """Gives its cells their colours once they are cut and padded."""
    empty: Sequence[str] = ("",)
    """Cells that say nothing: a column that holds no others is left out, unless `rank` is 0."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The lines of a table, none of them wider than `width`."""
    kept = [
        number
        for number, column in enumerate(columns)
        if column.rank == 0 or any(row[number] not in column.empty for row in rows)
    ]
    lines = [[column.name for column in columns], *rows]
    sizes = {number: max(cells(line[number]) for line in lines) for number in kept}
    while _width(kept, sizes) > width and any(columns[number].rank >= EXTRA for number in kept):
        kept.remove(max(kept, key=lambda number: columns[number].rank))
    while _total(kept, sizes, columns) > width and any(columns[number].rank for number in kept):
        kept.remove(max(kept, key=lambda number: columns[number].rank))
    _shrink(kept, sizes, columns, width)
    return [
        GAP.join(_drawn(line[number], sizes[number], columns[number]) for number in kept).rstrip()
        for line in lines
    ]


def tsv(names: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> list[str]:
    """The lines for programs: tabs, nothing cut, nothing padded. Without rows no header either."""
    return ["\t".join(row) for row in ([names, *rows] if header and rows else rows)]


def cut(text: str, width: int) -> str:
    """Text that takes up no more than `width` columns; what was cut ends in an ellipsis."""
    if cells(text) <= width:
        return text
    taken, used = 0, 0
    for char in text:
        used += cells(char)
        if used > width - 1:
            break
        taken += 1
    return text[:taken] + "…"


def cells(text: str) -> int:
    """How many columns of a terminal a text takes up."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(char)
        else 2
        if unicodedata.east_asian_width(char) in ("W", "F")
        else 1
        for char in text
    )


def _total(kept: list[int], sizes: dict[int, int], columns: Sequence[Column]) -> int:
    """The width that the table needs at least."""
    least = sum(_least(columns[number], sizes[number]) for number in kept)
    return least + len(GAP) * (len(kept) - 1)


def _width(kept: list[int], sizes: dict[int, int]) -> int:
    return sum(sizes[number] for number in kept) + len(GAP) * (len(kept) - 1)


def _least(column: Column, size: int) -> int:
    if column.least is None:
        return size
    return min(size, max(column.least, cells(column.name)))


def _shrink(kept: list[int], sizes: dict[int, int], columns: Sequence[Column], width: int) -> None:
    """Cut from left to right, each column as far as it has to be: the last one says most."""
    over = _width(kept, sizes) - width
    for number in kept:
        if over > 0:
            taken = min(over, sizes[number] - _least(columns[number], sizes[number]))
            sizes[number] -= taken
            over -= taken
    if over > 0:  # a terminal on which nothing fits
        sizes[kept[-1]] = max(1, sizes[kept[-1]] - over)


def _drawn(cell: str, size: int, column: Column) -> str:
    text = _padded(cell, size, right=column.right)
    return column.paint(text) if column.paint and cell != column.name else text


def _padded(cell: str, size: int, *, right: bool) -> str:
    text = cut(cell, size)
    space = " " * (size - cells(text))
    return space + text if right else text + space
