"""`doctor`: what is wrong with a spool, and what to do about it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from typing import Annotated, Final

import typer

from spoolq.cli import options
from spoolq.cli.colours import paint
from spoolq.cli.context import opened
from spoolq.cli.exits import NO, UNUSABLE, Refused
from spoolq.cli.output import escape, many, print_json
from spoolq.version import VERSION

_SIGNS: Final = {"ok": "✓", "warning": "!", "problem": "✗"}


def add_to(app: typer.Typer) -> None:
    """Register this command."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="For a health check: no jobs are read.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Examine the spool: exit 1 when there is a problem, 0 when all that is left are warnings."""
    from spoolq.doctor import count, examine  # for this command only
    from spoolq.files.store import FileBackend

    backend = opened(context).spool.backend
    if not isinstance(backend, FileBackend):
        raise Refused(UNUSABLE, "only a spool in a directory can be examined")
    sections = list(examine(backend, quick=quick))
    problems, warnings = count(sections, "problem"), count(sections, "warning")
    if as_json:
        print_json(
            {
                "spool": backend.root,
                "host": os.uname().nodename,
                "problems": problems,
                "warnings": warnings,
                "sections": [asdict(section) for section in sections],
            }
        )
    else:
        for section in sections:
            print(f"{section.name:<12} {escape(section.about)}".rstrip())
            for one in section.findings:
                print(f"  {paint(_SIGNS[one.level])} {escape(one.text)}")
                if one.fix:
                    print(f"      fix: {escape(one.fix)}")
        print(f"{'python':<12} {platform.python_version()}  {_versions()}")
        print(f"\n{many(problems, 'problem')}, {many(warnings, 'warning')}")
    if problems:
        raise typer.Exit(NO)


def _versions() -> str:
    from importlib.metadata import version

    return f"spoolq {VERSION}  typer {version('typer')}"
