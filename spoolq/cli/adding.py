"""`add`, `enqueue` and `miniq`: one job from one command line.

Loaded in place of Typer and of most of the library: see `grammar`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from spoolq.cli.autostart import ensure_served
from spoolq.cli.exits import CONFLICT, USAGE, Refused
from spoolq.cli.given import EXEC, dry_run, enqueue_one, job_options, parse_json
from spoolq.cli.knowing import refuse_typo

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    from spoolq.cli.context import Opened
    from spoolq.control import Said
    from spoolq.states import JSON

MOST_STDIN: Final = 1024 * 1024  # bytes: they are kept in the job's file, which is read often
_SHELL_SIGNS: Final = frozenset(" ;&|<>$`")
# What describes the shell it was typed in, not the work.
_NOT_CAPTURED: Final = frozenset({"_", "SHLVL", "OLDPWD", "PWD"})


def add(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`spoolq add`: the exit code."""
    if opened.settings.mode != "single":
        raise Refused(
            CONFLICT,
            "command lines run in a single-user spool only: put an executable into jobs/",
        )
    argv = _command_line(words, values.get("line"))
    if "line" not in values and not values.get("no_check"):
        _check_program(argv, values.get("cwd") or "")
    surroundings = _surroundings(values.get("cwd"))
    if not values.get("dry_run"):
        surroundings["env"] = opened.producer.keep_environment(surroundings["env"])
    if values.get("rm") and not (values.get("follow") or values.get("wait")):
        surroundings["rm"] = True  # who waits for it removes it, having read how it ended
    if "after_fail" in values:
        surroundings["after_fail"] = True
    if values.get("each_line"):
        from spoolq.cli.bulk import add_each_line

        if values.get("stdin"):
            raise Refused(USAGE, "--each-line reads stdin for jobs, --stdin for one: choose one")
        return add_each_line(opened, values, argv, surroundings)
    if values.get("stdin"):
        surroundings["stdin"] = _stdin()
    return _submit(opened, values, EXEC, argv, surroundings)


def enqueue(opened: Opened, values: dict[str, Any], words: list[str]) -> int:
    """`spoolq enqueue`: the exit code."""
    if not words:
        raise Refused(USAGE, "enqueue what? spoolq enqueue TASK ARGS…")
    task, *arguments = words
    if not values.get("no_check"):
        refuse_typo(opened.producer.root, task)
    source = values.get("source") or _source(arguments)
    if source is not None:
        if values.get("source") is None:
            arguments = []
        if arguments or "args" in values or "kwargs" in values:
            raise Refused(USAGE, "with --from every line has its own arguments: give no others")
        from spoolq.cli.bulk import enqueue_lines

        return enqueue_lines(opened, values, task, source)
    if "args" in values:
        if arguments:
            raise Refused(
                USAGE, "arguments come from --args or from the words after TASK, not both"
            )
        arguments = parse_json(values["args"], "--args", list, "list")
    named = parse_json(values["kwargs"], "--kwargs", dict, "object") if "kwargs" in values else None
    return _submit(opened, values, task, arguments, named)


def miniq(opened: Opened, words: Sequence[str]) -> int:
    """`miniq NAME ARGS…`."""
    return _submit(opened, {}, words[0], list(words[1:]), None)


def _submit(
    opened: Opened,
    values: dict[str, Any],
    task: str,
    arguments: list[JSON],
    named: dict[str, JSON] | None,
) -> int:
    options = job_options(opened, values)
    if values.get("dry_run"):
        print(json.dumps(dry_run(task, arguments, named, options)))
        return 0
    seconds = None
    if "wait_timeout" in values:
        from spoolq.cli.watching import patience

        seconds = patience(values)
    id_ = enqueue_one(opened, task, arguments, named, options)
    follow = bool(values.get("follow"))
    said = json.dumps({"id": id_}) if values.get("as_json") else id_
    print(said, file=sys.stderr if follow else sys.stdout, flush=True)
    paused = opened.producer.paused
    if paused is not None:
        _say_paused(options.get("queue", "default"), paused)
    else:
        queue = options.get("queue", "default")
        start = task == EXEC and not options.get("hold")
        started = ensure_served(opened, queue) if start else False
        watched = follow or bool(values.get("wait"))
        if "unique" not in options and (watched or sys.stderr.isatty()):
            from spoolq.cli.arriving import tell  # nobody reads it in a script's loop

            tell(opened, id_, task, options, started=started, watched=watched)
    if follow or values.get("wait"):
        from spoolq.cli.watching import watch

        remove = bool(values.get("rm"))
        return watch(opened, id_, show=follow, seconds=seconds, remove=remove)
    return 0


def _say_paused(queue: str, paused: Said) -> None:
    from spoolq.cli.output import escape, say
    from spoolq.control import whose

    name = escape(queue)
    say(f"spoolq: queue {name} is paused{escape(whose(paused))}; spoolq queue resume {name}")


def _source(arguments: list[str]) -> str | None:
    """The FILE of `--from FILE` when nothing but that stands behind the task."""
    if len(arguments) == 2 and arguments[0] == "--from":
        return arguments[1]
    if len(arguments) == 1 and arguments[0].startswith("--from="):
        return arguments[0].partition("=")[2]
    return None


# -- command lines -------------------------------------------------------------------------------


def _command_line(words: list[str], line: str | None) -> list[str]:
    if line is not None:
        if words:
            raise Refused(USAGE, "a command or -c 'shell line', not both")
        return ["/bin/sh", "-c", line]
    if not words or not words[0]:
        raise Refused(USAGE, "what should run? spoolq add CMD… or spoolq add -c 'shell line'")
    return words


def _check_program(words: list[str], directory: str) -> None:
    """Refuse what must be a line for a shell, and warn of a program that is not here."""
    if _is_here(words[0], directory):
        return
    if _SHELL_SIGNS & set(words[0]):
        from shlex import quote

        line = words[0] if len(words) == 1 else " ".join([words[0], *map(quote, words[1:])])
        raise Refused(
            USAGE,
            f"no program called {quote(words[0])}. "
            f"For a shell line use: spoolq add -c {quote(line)}",
        )
    from spoolq.cli.output import escape, say

    say(f"spoolq: warning: no program called {escape(words[0])!r} on this host's PATH")


def _is_here(program: str, directory: str) -> bool:
    """Whether a shell in that directory would find it: `shutil.which` takes 2 ms to import."""
    places = [f"{directory}/" if directory and not program.startswith("/") else ""]
    if "/" not in program:
        places = [f"{place or '.'}/" for place in os.environ.get("PATH", os.defpath).split(":")]
    return any(
        os.access(place + program, os.X_OK) and not os.path.isdir(place + program)
        for place in places
    )


def _surroundings(directory: str | None) -> dict[str, JSON]:
    mask = os.umask(0o077)
    os.umask(mask)
    env = {name: value for name, value in os.environ.items() if _captured(name, value)}
    try:
        cwd = os.path.join(os.getcwd(), directory or "")
    except FileNotFoundError:
        raise Refused(USAGE, "the current directory has been removed") from None
    if directory is not None and not os.path.isdir(cwd):
        raise Refused(USAGE, f"--cwd {directory!r} is no directory")
    where = os.path.normpath(cwd) if directory else os.getcwd()
    return {"cwd": where, "env": env, "umask": mask, "by": _who()}


def _who() -> str:
    """Who adds it, and where: as the environment says, for the system's list of users is slow."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.geteuid())
    return f"{user}@{os.uname().nodename}".encode(errors="replace").decode()


def _stdin() -> JSON:
    """What stands on stdin, for a job: text, or if it is none in base64. Raises Refused."""
    data = sys.stdin.buffer.read(MOST_STDIN + 1)
    if len(data) > MOST_STDIN:
        raise Refused(
            USAGE,
            f"--stdin: more than {MOST_STDIN} bytes; keep them in a file and read that: "
            "spoolq add -c 'COMMAND <FILE'",
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"base64": b64encode(data).decode()}


def _captured(name: str, value: str) -> bool:
    if name in _NOT_CAPTURED or name.startswith("SPOOLQ_"):
        return False
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        from spoolq.cli.output import escape, say

        say(f"spoolq: warning: ${escape(name)} is not UTF-8 and was left out")
        return False
    return True
