"""Putting work in: `add` and `enqueue`."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated, Any, Final

import typer

from spoolq.cli import options
from spoolq.cli.context import Opened, opened
from spoolq.cli.exits import CONFLICT, USAGE, Refused
from spoolq.cli.output import escape, print_json, say
from spoolq.job import Job
from spoolq.model import JSON

# Words after the first one are the job's, those that look like options too.
_VERBATIM: Final = {"allow_interspersed_args": False}
_SHELL_SIGNS: Final = frozenset(" ;&|<>$`")
# What describes the shell it was typed in, not the work.
_NOT_CAPTURED: Final = frozenset({"_", "SHLVL", "OLDPWD", "PWD"})


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(context_settings=dict(_VERBATIM))(add)
    app.command(context_settings=dict(_VERBATIM))(enqueue)


def add(
    context: typer.Context,
    *,
    words: Annotated[list[str] | None, typer.Argument(metavar="CMD…", show_default=False)] = None,
    line: Annotated[
        str | None, typer.Option("--command", "-c", metavar="LINE", help="Run by /bin/sh.")
    ] = None,
    queue: options.QueueName = None,
    priority: options.Priority = None,
    delay: options.Delay = None,
    expire: options.Expire = None,
    attempts: options.Attempts = None,
    parent: options.Parents = None,
    lax: options.Lax = None,
    notes: options.Notes = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Add a command line: it runs later in this directory, environment and umask; print its id."""
    argv = _command_line(words, line)
    spool = opened(context)
    if spool.settings.mode != "single":
        raise Refused(
            CONFLICT,
            "command lines run in a single-user spool only: put an executable into jobs/",
        )
    given = options.enqueue_options(
        queue=queue,
        priority=priority,
        delay=delay,
        expire=expire,
        attempts=attempts,
        parents=parent,
        lax=lax,
        notes=notes,
        timeout=timeout,
    )
    _print_id(spool.spool.enqueue("exec", argv, _surroundings(), **given), as_json=as_json)


def enqueue(
    context: typer.Context,
    *,
    task: Annotated[str, typer.Argument(metavar="TASK", show_default=False)],
    words: Annotated[list[str] | None, typer.Argument(metavar="ARGS…", show_default=False)] = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="The arguments as a list.")
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option("--kwargs", metavar="JSON", help="For a Python task.")
    ] = None,
    queue: options.QueueName = None,
    priority: options.Priority = None,
    delay: options.Delay = None,
    expire: options.Expire = None,
    attempts: options.Attempts = None,
    parent: options.Parents = None,
    lax: options.Lax = None,
    notes: options.Notes = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Enqueue an executable of jobs/, or a Python task, by name; print the id."""
    if args is not None and words:
        raise Refused(USAGE, "arguments come from --args or from the words after TASK, not both")
    arguments = list(words or []) if args is None else _json(args, "--args", list, "list")
    named = None if kwargs is None else _json(kwargs, "--kwargs", dict, "object")
    given = options.enqueue_options(
        queue=queue,
        priority=priority,
        delay=delay,
        expire=expire,
        attempts=attempts,
        parents=parent,
        lax=lax,
        notes=notes,
        timeout=timeout,
    )
    spool: Opened = opened(context)
    _print_id(spool.spool.enqueue(task, arguments, named, **given), as_json=as_json)


def _command_line(words: list[str] | None, line: str | None) -> list[str]:
    if line is not None:
        if words:
            raise Refused(USAGE, "a command or -c 'shell line', not both")
        return ["/bin/sh", "-c", line]
    if not words:
        raise Refused(USAGE, "what should run? spoolq add CMD… or spoolq add -c 'shell line'")
    if shutil.which(words[0]) is None:
        if len(words) == 1 and _SHELL_SIGNS & set(words[0]):
            raise Refused(
                USAGE,
                f"no program called {words[0]!r}. For a shell line use: spoolq add -c {words[0]!r}",
            )
        say(f"spoolq: warning: no program called {escape(words[0])!r} on this host's PATH")
    return words


def _surroundings() -> dict[str, JSON]:
    mask = os.umask(0o077)
    os.umask(mask)
    env = {name: value for name, value in os.environ.items() if _captured(name, value)}
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise Refused(USAGE, "the current directory has been removed") from None
    return {"cwd": cwd, "env": env, "umask": mask}


def _captured(name: str, value: str) -> bool:
    if name in _NOT_CAPTURED or name.startswith("SPOOLQ_"):
        return False
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        say(f"spoolq: warning: ${escape(name)} is not UTF-8 and was left out")
        return False
    return True


def _json(text: str, option: str, kind: type, name: str) -> Any:
    value = options.parse_json(text, option)
    if not isinstance(value, kind):
        raise Refused(USAGE, f"{option} must be a JSON {name}")
    return value


def _print_id(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": job.id})
    else:
        print(job.id)
    sys.stdout.flush()
