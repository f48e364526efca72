"""The commands of `grammar`, in the command tree: their help, and words for what is wrong."""

from __future__ import annotations

import typer

from spoolq.cli import bulk, grammar, hot
from spoolq.cli.typed import add_command


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    for verb, (command, *_) in hot.COMMANDS.items():
        alias = None if verb == command.name else verb
        add_command(app, command, hot.performs(verb), alias=alias)
    add_command(app, grammar.IMPORT, bulk.import_jobs)
