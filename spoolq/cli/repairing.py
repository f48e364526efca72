"""Putting right: `repair`."""

from __future__ import annotations

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.output import print_json


def add_to(app: typer.Typer) -> None:
    """Register this command."""
    app.command()(repair)


def repair(context: typer.Context, as_json: options.AsJson = False) -> None:
    """Put right what time and crashes have left."""
    spool = opened(context).spool
    spool.repair()
    if as_json:
        print_json(spool.stats())
