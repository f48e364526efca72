"""A spool in a Flask application: `get_spool()`, and `flask spoolq worker`.

spool = Spool()                         # of a module with tasks
def create_app():
    app = Flask(__name__)
    init_app(app, spool)
"""

from __future__ import annotations

import argparse
import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import click
from flask import Flask, current_app

from spoolq.contrib import working
from spoolq.errors import SpoolError
from spoolq.spool import Spool

NAME: Final = "spoolq"


def init_app(app: Flask, spool: Spool) -> None:
    """Give the application this spool, and the command `flask spoolq worker`.

    That worker performs every task inside of an application context of its own, so `current_app`,
    `g` and extensions work in it, and what is torn down after a request is torn down after a job.
    """
    app.extensions[NAME] = spool

    @click.command(
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        help="Perform the application's tasks; --help lists the options.",
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def worker(words: tuple[str, ...]) -> None:
        parser = argparse.ArgumentParser("flask spoolq worker", description="Perform jobs.")
        working.add_options(parser)
        options = vars(parser.parse_args(words))
        put_into_context(app, spool)
        try:
            working.work(spool, options)
        except SpoolError as error:
            raise click.ClickException(str(error)) from error

    group = click.Group(NAME, help="The job queue of this application.")
    group.add_command(worker)
    app.cli.add_command(group)


def get_spool() -> Spool:
    """The spool of the current application. Raises RuntimeError when it has none."""
    found: Spool | None = current_app.extensions.get(NAME)
    if found is None:
        raise RuntimeError(f"{current_app.name} has no spool: call init_app(app, spool)")
    return found


def put_into_context(app: Flask, spool: Spool) -> None:
    """Let every task that is registered now run inside of a context of this application."""
    for task in list(spool.tasks.values()):
        # What a worker does with a task; what its `enqueue` uses stays with the program's own.
        register: Any = spool.task(
            name=task.name,
            takes_context=task.takes_context,  # type: ignore[call-overload]  # either way
            runner=task.runner,
        )
        register(_in_context(app, task.fn))


def _in_context(app: Flask, fn: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return await fn(*args, **kwargs)

        return acall

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        with app.app_context():
            return fn(*args, **kwargs)

    return call
