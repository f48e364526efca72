"""Options that several commands share: one definition each."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.formats import FORMS
from spoolq.cli.grammar import SELECTORS
from spoolq.cli.ids import parse_ids
from spoolq.model import JSON

Selectors = Annotated[list[str] | None, typer.Argument(metavar="SEL…", help=SELECTORS)]
Selector = Annotated[str, typer.Argument(metavar="SEL", help=SELECTORS)]

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="|".join(FORMS), help="Off a terminal: tsv."),
]
NoHeader = Annotated[bool, typer.Option("--no-header", help="No names above the columns.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids and ranges: 7 9-12.")]

QueueName = Annotated[
    str | None, typer.Option("--queue", "-q", envvar="SPOOLQ_QUEUE", metavar="NAME")
]
NewQueue = Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME")]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="NAME", help="Repeatable.")
]
Priority = Annotated[
    int | None, typer.Option("--priority", "-p", metavar="N", help="Higher goes first.")
]
Attempts = Annotated[
    int | None, typer.Option("--attempts", "-A", metavar="N", help="Tries before it stays failed.")
]
Delay = Annotated[
    str | None, typer.Option("--delay", "-d", metavar="DURATION", help="90, 10m, 2h30m.")
]
Expire = Annotated[
    str | None, typer.Option("--expire", "-E", metavar="DURATION", help="Not started after that.")
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", "-t", metavar="DURATION", help="How long a try may run.")
]
Parents = Annotated[
    list[str] | None,
    typer.Option("--parent", "-P", metavar="ID", help="Runs after it. Repeatable."),
]
Lax = Annotated[
    bool | None, typer.Option("--lax/--no-lax", "-x", help="Runs after failed parents too.")
]
Notes = Annotated[str | None, typer.Option("--notes", "-n", metavar="JSON")]


def enqueue_options(
    *,
    queue: str | None = None,
    priority: int | None = None,
    attempts: int | None = None,
    delay: str | None = None,
    expire: str | None = None,
    timeout: str | None = None,
    parents: list[str] | None = None,
    lax: bool | None = None,
    notes: str | None = None,
) -> dict[str, Any]:
    """The given ones as keyword options of `Spool.enqueue` and `Job.retry`."""
    options = {
        "queue": queue,
        "priority": priority,
        "attempts": attempts,
        "delay": _seconds(delay),
        "expire": _seconds(expire),
        "timeout": _seconds(timeout),
        "parents": parse_ids(parents) if parents else None,
        "lax": lax,
        "notes": None if notes is None else parse_json(notes, "--notes"),
    }
    return {name: value for name, value in options.items() if value is not None}


def parse_json(text: str, option: str) -> JSON:
    """The value of an option that takes JSON. Raises Refused."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(USAGE, f"{option} is not JSON: {error}") from None


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_duration(text)
