"""Getting work done: `process` and `repair`."""

from __future__ import annotations

from typing import Annotated

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import BY_SIGNAL, NO
from spoolq.cli.output import print_json
from spoolq.process import process as process_spool


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(process)
    app.command()(repair)


def process(
    context: typer.Context,
    *,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many at once.")] = 1,
    queue: options.Queues = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="Start no more than this many.")
    ] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit 1 if a job failed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Perform everything that is due, then exit. Quiet; any number may run at once."""
    done = process_spool(
        opened(context).spool, jobs=jobs, queues=queue or ("default",), limit=limit
    )
    if as_json:
        print_json({"performed": done.performed, "failed": done.failed})
    if done.signal is not None:
        raise typer.Exit(BY_SIGNAL + done.signal)
    if fail and done.failed:
        raise typer.Exit(NO)


def repair(context: typer.Context, as_json: options.AsJson = False) -> None:
    """Put right what time and crashes have left."""
    spool = opened(context).spool
    spool.repair()
    if as_json:
        print_json(spool.stats())
