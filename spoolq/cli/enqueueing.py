"""Putting work in: `add`, `enqueue` and `import`, in the command tree."""

from __future__ import annotations

import typer

from spoolq.cli import adding, bulk, grammar
from spoolq.cli.typed import add_command


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    add_command(app, grammar.ADD, adding.add)
    add_command(app, grammar.ENQUEUE, adding.enqueue)
    add_command(app, grammar.IMPORT, bulk.import_jobs)
