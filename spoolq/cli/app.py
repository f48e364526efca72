"""The command tree, and the options that stand before the verb."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from spoolq.cli import enqueueing, installing, looking, performing, steering, working
from spoolq.cli.context import Opened
from spoolq.cli.exits import USAGE

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
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


for _group in (enqueueing, performing, working, looking, steering, installing):
    _group.add_to(app)
