"""The command tree, and the options that stand before the verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from spoolq.cli import (
    counting,
    enqueueing,
    examining,
    installing,
    listing,
    locking,
    looking,
    performing,
    showing,
    steering,
    waiting,
    working,
)
from spoolq.cli.context import Opened
from spoolq.cli.exits import USAGE
from spoolq.cli.formats import terminal_width
from spoolq.selection import Selection

app = typer.Typer(
    name="spoolq",
    help="A job queue that is a directory.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code. Raises SpoolError and Refused."""
    try:
        typer.main.get_command(app).main(args=list(words), prog_name="spoolq")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 19 ms, for this option only

        print(version("spoolq"))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def before_the_verb(
    context: typer.Context,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="The spool. Else $SPOOLQ_ROOT, $MINIQ_ROOT, ~/.local/state/spoolq.",
        ),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option("--durability", envvar="SPOOLQ_DURABILITY", metavar="full|none"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A job queue that is a directory."""
    if debug:
        os.environ["SPOOLQ_DEBUG"] = "1"
    context.obj = Opened(root, durability)
    if context.invoked_subcommand is None:
        if sys.stdout.isatty():
            status(context.obj)
            return
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


def status(spool: Opened) -> None:
    """What a bare `spoolq` shows to people: the queues, and what is not done."""
    overview = counting.Overview(spool.spool.backend, spool.spool.stats())
    if overview.queues:
        print("\n".join([*overview.table(terminal_width()), ""]))
    listing.show(spool, Selection(), "table")


_GROUPS = (
    *(enqueueing, performing, working, listing, showing, looking, waiting, counting),
    *(steering, locking, examining, installing),
)
for _group in _GROUPS:
    _group.add_to(app)
