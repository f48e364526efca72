"""`-o table|json|jsonl|tsv|ids`: one listing in the form that its reader wants."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.output import hints, print_json, say
from spoolq.cli.tables import Column, table, tsv
from spoolq.model import JSON
from spoolq.selection import did_you_mean

FORMS: Final = ("table", "json", "jsonl", "tsv", "ids")


@dataclass(frozen=True)
class Listing:
    """The rows of a listing in each of its forms; each is made when it is asked for."""

    columns: Sequence[Column]
    people: Callable[[], list[list[str]]]
    names: Sequence[str]
    programs: Callable[[], list[list[str]]]
    values: Callable[[], list[JSON]]
    ids: Callable[[], list[str]]

    def print(self, form: str, *, header: bool = True) -> None:
        """Print it in one of FORMS."""
        if form == "json":
            print_json(self.values())
        elif form == "jsonl":
            _lines([json.dumps(value) for value in self.values()])
        elif form == "ids":
            _lines(self.ids())
        elif form == "tsv":
            _lines(tsv(self.names, self.programs(), header=header))
        elif rows := self.people():
            lines = table(self.columns, rows, terminal_width())
            _lines(lines if header else lines[1:])


def chosen(output: str | None, *, as_json: bool) -> str:
    """One of FORMS: what is asked for, else $SPOOLQ_FORMAT, else what fits. Raises Refused."""
    if as_json:
        if output not in (None, "json"):
            raise Refused(USAGE, f"--json and -o {output}: choose one")
        return "json"
    output = output or os.environ.get("SPOOLQ_FORMAT") or None
    if output is None or output == "table":
        # Cut to a width that nobody has would lose what a program needs.
        return "table" if sys.stdout.isatty() else "tsv"
    if output not in FORMS:
        known = did_you_mean(output, FORMS) or f" (known: {', '.join(FORMS)})"
        raise Refused(USAGE, f"-o {output!r} is no form of output{known}")
    return output


def terminal_width() -> int:
    """How many columns the terminal has: what COLUMNS says, else what it says itself, else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def hint(text: str) -> None:
    """One line on stderr for people at a terminal; nothing for a script."""
    if hints():
        say(text)


def _lines(lines: Sequence[str]) -> None:
    if lines:
        print("\n".join(lines))
