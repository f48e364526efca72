"""`job`: Minion's own command with Minion's own flags (contract 2.25), for who knows them.

Three things are stricter: what is no JSON, no such option or no such job is an error [412, 413];
`--remove-failed` and `--retry-failed` refuse filters, which Minion ignores [422]; what needs an id
is not answered with a list [428].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Final, NamedTuple

import typer

from spoolq.cli import options
from spoolq.cli.apps import spool_of
from spoolq.cli.context import Opened, opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import CONFLICT, NO, NOT_FOUND, USAGE, Refused
from spoolq.cli.ids import parse_ids
from spoolq.cli.output import HIDDEN, escape, iso, job_json, print_json
from spoolq.cli.yaml import document
from spoolq.errors import SpoolError
from spoolq.executables import find_executable
from spoolq.model import JSON, JobInfo, LockInfo, WorkerInfo
from spoolq.selection import parse
from spoolq.spool import Spool

_EVERY: Final = 2**31 - 1
_ACTIVE: Final = "Job is active."
_NO_JOB: Final = "Job does not exist."

Text = str | None
Number = int | None
Texts = list[str] | None


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(job)


class Asked(NamedTuple):
    """What a command line asked for."""

    opened: Opened
    given: dict[str, Any]  # every option by its name
    words: list[str]
    as_json: bool

    @property
    def spool(self) -> Spool:
        """The spool; with --app the one of that program, on the same directory."""
        return spool_of(self.opened, self.given["app"])

    def one_id(self, option: str) -> int:
        """The only id that was given. Raises Refused."""
        ids = parse_ids(self.words)
        if len(ids) != 1:
            raise Refused(USAGE, f"{option}: one id, please; spoolq VERB SEL… takes several")
        return ids[0]

    def one_job(self, option: str) -> JobInfo:
        """The job that was named. Raises Refused."""
        rows: list[JobInfo] = self.spool.backend.list_jobs(0, 1, ids=[self.one_id(option)]).rows
        if not rows:
            raise Refused(NOT_FOUND, _NO_JOB)
        return rows[0]

    def of_job(self) -> dict[str, Any]:
        """The options of an enqueue or a retry, as far as they were given [409-411, 419]."""
        given = self.given
        found = {name: given[name] for name in ("attempts", "priority")}
        found["queue"] = given["queue"][-1] if given["queue"] else None
        found["parents"] = parse_ids(given["parent"]) if given["parent"] else None
        found["lax"] = None if given["lax"] is None else _truth(given["lax"])
        for name in ("delay", "expire"):
            found[name] = None if given[name] is None else parse_duration(given[name])
        return {name: value for name, value in found.items() if value is not None}


def job(
    context: typer.Context,
    *,
    ids: Annotated[Texts, typer.Argument(metavar="ID…", help="With -L: names.")] = None,
    attempts: Annotated[Number, typer.Option("--attempts", "-A", metavar="N")] = None,
    args: Annotated[
        Text, typer.Option("--args", "-a", metavar="JSON", help="A list, for -e and -b.")
    ] = None,
    broadcast: Annotated[
        Text, typer.Option("--broadcast", "-b", metavar="COMMAND", help="To workers, or all.")
    ] = None,
    delay: Annotated[Text, typer.Option("--delay", "-d", metavar="SECONDS")] = None,
    expire: Annotated[Text, typer.Option("--expire", "-E", metavar="SECONDS")] = None,
    enqueue: Annotated[
        Text, typer.Option("--enqueue", "-e", metavar="TASK", help="Enqueue; print the id.")
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Run it now, in this process.")
    ] = False,
    history: Annotated[bool, typer.Option("--history", "-H", help="The last 24 hours.")] = False,
    locks: Annotated[bool, typer.Option("--locks", "-L", help="List locks.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0, metavar="N")] = 100,
    notes: Annotated[
        Text, typer.Option("--notes", "-n", metavar="JSON", help="An object, or a list to filter.")
    ] = None,
    offset: Annotated[int, typer.Option("--offset", "-o", min=0, metavar="N")] = 0,
    parent: Annotated[Texts, typer.Option("--parent", "-P", metavar="ID")] = None,
    priority: Annotated[Number, typer.Option("--priority", "-p", metavar="N")] = None,
    queue: Annotated[Texts, typer.Option("--queue", "-q", metavar="NAME")] = None,
    retry: Annotated[bool, typer.Option("--retry", "-R", help="Retry it.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry all.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it.")] = False,
    remove_failed: Annotated[bool, typer.Option("--remove-failed", help="Remove all.")] = False,
    state: Annotated[Texts, typer.Option("--state", "-S", metavar="STATE")] = None,
    stats: Annotated[bool, typer.Option("--stats", "-s", help="Minion's counters.")] = False,
    tasks: Annotated[bool, typer.Option("--tasks", "-T", help="List tasks.")] = False,
    task: Annotated[Texts, typer.Option("--task", "-t", metavar="TASK")] = None,
    unlock: Annotated[Text, typer.Option("--unlock", "-U", metavar="NAME")] = None,
    workers: Annotated[bool, typer.Option("--workers", "-w", help="List workers.")] = False,
    lax: Annotated[Text, typer.Option("--lax", "-x", metavar="0|1")] = None,
    app: Annotated[
        Text, typer.Option("--app", metavar="MODULE:SPOOL", help="For -f and -T: Python tasks.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Minion's `job`: list jobs, show one, enqueue, retry and remove, with Minion's flags."""
    given = {name: value for name, value in locals().items() if name not in ("context", "ids")}
    words = list(ids or ())
    asked = Asked(opened(context), given, words, as_json)
    chosen = next((act for name, act in _ACTIONS.items() if given[name] not in (None, False)), None)
    if chosen is None:
        chosen = _info if words else _list
    chosen(asked)


# -- each action ---------------------------------------------------------------------------------


def _broadcast(asked: Asked) -> None:
    spool, ids = asked.spool, parse_ids(asked.words)
    spool.broadcast(asked.given["broadcast"], _args(asked), ids)


def _enqueue(asked: Asked) -> None:
    _no_words(asked, "--enqueue")
    notes = asked.given["notes"]
    merged = {} if notes is None else {"notes": _json(notes, "--notes", dict, "object")}
    options_ = {**asked.of_job(), **merged}
    made = asked.spool.enqueue(asked.given["enqueue"], _args(asked), **options_)
    print_json({"id": made.id}) if asked.as_json else print(made.id)


def _stats(asked: Asked) -> None:
    _show(asked, asked.spool.stats())


def _history(asked: Asked) -> None:
    _show(asked, asked.spool.history())


def _tasks(asked: Asked) -> None:
    spool = asked.spool
    found = dict.fromkeys(spool.tasks, "Python")
    for name in asked.opened.viewer.tasks() - found.keys():
        path = find_executable(spool.root or "", name)
        found[name] = path or ("command line" if name == "exec" else "worker")
    rows = [[name, found[name]] for name in sorted(found)]
    _table(asked, rows, [{"task": name, "by": by} for name, by in rows])


def _remove_failed(asked: Asked) -> None:
    for failed in _all_failed(asked, "--remove-failed", "remove"):
        asked.spool.backend.remove_job(failed.id)


def _retry_failed(asked: Asked) -> None:
    for failed in _all_failed(asked, "--retry-failed", "retry"):
        asked.spool.backend.retry_job(failed.id, failed.retries)


def _unlock(asked: Asked) -> None:
    _no_words(asked, "--unlock")
    asked.spool.unlock(asked.given["unlock"])


def _locks(asked: Asked) -> None:
    offset, limit = asked.given["offset"], asked.given["limit"]
    backend = asked.spool.backend
    held: list[LockInfo] = backend.list_locks(offset, limit, names=asked.words or None).rows
    rows = [[str(lock.id), lock.name, iso(lock.expires)] for lock in held]
    _table(asked, rows, [asdict(lock) for lock in held])


def _workers(asked: Asked) -> None:
    backend, ids = asked.spool.backend, parse_ids(asked.words)
    offset, limit = asked.given["offset"], asked.given["limit"]
    found: list[WorkerInfo]
    if not ids:
        found = backend.list_workers(offset, limit).rows
        rows = [[str(worker.id), f"{worker.host}:{worker.pid}"] for worker in found]
        _table(asked, rows, [asdict(worker) for worker in found])
        return
    found = backend.list_workers(0, 1, ids=[asked.one_id("--workers")]).rows
    if not found:
        raise Refused(NOT_FOUND, "Worker does not exist.")
    _show(asked, asdict(found[0]))


def _remove(asked: Asked) -> None:
    named = asked.one_job("--remove")
    if not asked.spool.backend.remove_job(named.id):
        raise Refused(CONFLICT, _ACTIVE)


def _retry(asked: Asked) -> None:
    named = asked.one_job("--retry")
    if not asked.spool.backend.retry_job(named.id, named.retries, **asked.of_job()):
        raise Refused(CONFLICT, _ACTIVE)


def _foreground(asked: Asked) -> None:
    named, spool = asked.one_job("--foreground"), asked.spool
    try:
        done = spool.foreground(named.id)
    except Exception as error:
        if isinstance(error, SpoolError) and type(error) is not SpoolError:
            raise  # not what the task did, but what is wrong with the call or the spool
        raise Refused(NO, f"{type(error).__name__}: {error}") from error
    if not done:
        raise Refused(CONFLICT, "Job is not ready.")


def _info(asked: Asked) -> None:
    named = asked.one_job("job")
    if asked.as_json:
        print_json(job_json(named))
        return
    value = asdict(named)
    if "env" in named.kwargs:
        value["kwargs"] = {**named.kwargs, "env": HIDDEN}
    print(document(value))


def _list(asked: Asked) -> None:
    given = asked.given
    states = [word for word in given["state"] or () if parse([f"state:{word}"])]
    notes = None if given["notes"] is None else _json(given["notes"], "--notes", list, "list")
    rows: list[JobInfo] = asked.spool.backend.list_jobs(
        given["offset"],
        given["limit"],
        states=states or None,
        queues=given["queue"] or None,
        tasks=given["task"] or None,
        notes=notes,
    ).rows
    shown = [[str(one.id), one.state, one.queue, one.task] for one in rows]
    _table(asked, shown, [job_json(one) for one in rows])


# The first of these that was asked for is done [428].
_ACTIONS: Final[dict[str, Callable[[Asked], None]]] = {
    "broadcast": _broadcast,
    "enqueue": _enqueue,
    "stats": _stats,
    "history": _history,
    "tasks": _tasks,
    "remove_failed": _remove_failed,
    "retry_failed": _retry_failed,
    "unlock": _unlock,
    "locks": _locks,
    "workers": _workers,
    "remove": _remove,
    "retry": _retry,
    "foreground": _foreground,
}


# -- what they share -----------------------------------------------------------------------------


def _all_failed(asked: Asked, option: str, verb: str) -> list[JobInfo]:
    """Every failed job, the oldest first. Raises Refused for what Minion would ignore."""
    given = asked.given
    filters = ("queue", "task", "state", "notes", "priority", "attempts", "delay", "expire", "lax")
    ignored = [name for name in filters if given[name] is not None]
    if ignored or asked.words:
        raise Refused(
            USAGE, f"{option} is about all failed jobs; for some: spoolq {verb} state:failed …"
        )
    rows: list[JobInfo] = asked.spool.backend.list_jobs(0, _EVERY, states=["failed"]).rows
    return rows[::-1]


def _args(asked: Asked) -> list[JSON]:
    text = asked.given["args"]
    found: list[JSON] = [] if text is None else _json(text, "--args", list, "list")
    return found


def _json(text: str, option: str, kind: type, name: str) -> Any:
    value = options.parse_json(text, option)
    if not isinstance(value, kind):
        raise Refused(USAGE, f"{option} must be a JSON {name}")
    return value


def _truth(text: str) -> bool:
    if text not in ("0", "1", "true", "false"):
        raise Refused(USAGE, f"--lax is 0 or 1, not {text!r}")
    return text in ("1", "true")


def _no_words(asked: Asked, option: str) -> None:
    if asked.words:
        raise Refused(USAGE, f"{option} takes no ids: {' '.join(asked.words)}")


def _show(asked: Asked, value: JSON) -> None:
    print_json(value) if asked.as_json else print(document(value))


def _table(asked: Asked, rows: list[list[str]], values: list[JSON]) -> None:
    """Columns with two spaces between them, padded as Minion does it [416]."""
    if asked.as_json:
        print_json(values)
        return
    shown = [[escape(cell) for cell in row] for row in rows]
    sizes = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        print("  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip())
