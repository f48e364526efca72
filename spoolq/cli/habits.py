"""`compat nq|ts|pueue`: shell functions with which the habits of other queues work here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from spoolq.cli import options
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.output import print_json
from spoolq.selection import did_you_mean

QUEUES: Final = ("nq", "ts", "pueue")


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(compat)


def compat(
    queue: Annotated[str, typer.Argument(metavar="nq|ts|pueue")],
    as_json: options.AsJson = False,
) -> None:
    """Print shell functions that let another queue's commands work with spoolq.

    eval "$(spoolq compat nq)" defines nq, nqtail and fq; ts: ts and tsp; pueue: pueue.
    """
    if queue not in QUEUES:
        known = did_you_mean(queue, QUEUES) or f" (known: {', '.join(QUEUES)})"
        raise Refused(USAGE, f"the habits of {queue!r} are not known{known}")
    text = (Path(__file__).parent / "compat" / f"{queue}.sh").read_text(encoding="utf-8")
    print_json({"queue": queue, "script": text}) if as_json else print(text, end="")
