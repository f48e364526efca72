"""Queues: `queue list`, and what can be said of one: `queue pause`, `close`, `set` and so on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.autostart import ensure_served
from spoolq.cli.context import opened
from spoolq.cli.exits import CONFLICT, NOT_FOUND, USAGE, Refused
from spoolq.cli.formats import Listing, chosen, hint
from spoolq.cli.output import digits, escape, iso, print_json
from spoolq.cli.tables import Column
from spoolq.control import NOTHING, Control, QueueInfo, Said, whose
from spoolq.lookup import workers
from spoolq.model import JSON
from spoolq.selection import did_you_mean
from spoolq.spool import Spool
from spoolq.states import WAYS
from spoolq.why import age

NONE: Final = ("none", "0")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The queue.")]
Why = Annotated[
    str, typer.Option("--why", "--reason", metavar="TEXT", help="Shown to who asks why.")
]
New = Annotated[bool, typer.Option("--new", help="One that nobody has used yet.")]


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    group = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    group.callback(invoke_without_command=True)(queue)
    group.command("list")(list_queues)
    group.command("ls", hidden=True)(list_queues)
    for command in (pause, resume, close, open_queue, set_queue):
        group.command(command.__name__.removesuffix("_queue"))(command)
    app.add_typer(group, name="queue")


def queue(context: typer.Context) -> None:
    """Pause, close and limit queues. Without a verb list them."""
    if context.invoked_subcommand is None:
        list_queues(context)


def pause(
    context: typer.Context,
    name: Name,
    why: Why = "",
    new: New = False,
    as_json: options.AsJson = False,
) -> None:
    """Start nothing from a queue, on any host. What runs goes on, and new jobs are taken in."""
    spool = _spool(context, name, new=new)
    _say(spool, name, spool.pause_queue(name, why=why), as_json=as_json)


def resume(context: typer.Context, name: Name, as_json: options.AsJson = False) -> None:
    """Start jobs of a paused queue again. Exit 4 when it is not paused."""
    spool = _spool(context, name)
    done = spool.resume_queue(name)
    _say(spool, name, done, as_json=as_json, refused="is not paused")
    if any(one.name == name and one.ready for one in spool.queues()):
        ensure_served(opened(context), name)  # whoever was started for it may have left


def close(
    context: typer.Context,
    name: Name,
    why: Why = "",
    new: New = False,
    as_json: options.AsJson = False,
) -> None:
    """Take no new jobs into a queue: enqueue exits with 6. What waits in it is run."""
    spool = _spool(context, name, new=new)
    _say(spool, name, spool.close_queue(name, why=why), as_json=as_json)


def open_queue(context: typer.Context, name: Name, as_json: options.AsJson = False) -> None:
    """Take new jobs into a closed queue again. Exit 4 when it is not closed."""
    spool = _spool(context, name)
    done = spool.open_queue(name)
    _say(spool, name, done, as_json=as_json, refused="is not closed")


def set_queue(
    context: typer.Context,
    *,
    name: Name,
    limit: Annotated[
        str | None,
        typer.Option("--limit", "--parallel", "-l", metavar="N|none", help="So many run at once."),
    ] = None,
    max_waiting: Annotated[
        str | None,
        typer.Option("--max-waiting", metavar="N|none", help="Beyond it enqueue exits with 6."),
    ] = None,
    new: New = False,
    as_json: options.AsJson = False,
) -> None:
    """Limit how many jobs of a queue run at once, on all hosts together, or wait in it."""
    if limit is None and max_waiting is None:
        raise Refused(USAGE, "set what? --limit N, --max-waiting N; none takes it away")
    spool = _spool(context, name, new=new)
    done = spool.set_queue(
        name, limit=_number(limit, "--limit"), max_waiting=_number(max_waiting, "--max-waiting")
    )
    _say(spool, name, done, as_json=as_json)


def list_queues(
    context: typer.Context,
    output: options.Output = None,
    no_header: options.NoHeader = False,
    as_json: options.AsJson = False,
) -> None:
    """List the queues: how many of their jobs do what, and who has paused or closed them."""
    form = chosen(output, as_json=as_json)
    backend = opened(context).spool.backend
    found, now = backend.list_queues(), backend.now()
    Listing(
        (
            Column("QUEUE", least=8),
            *(Column(way.upper(), right=True, rank=2, empty=("0",)) for way in WAYS),
            Column("ACTIVE", right=True),
            Column("STATE", least=16),
        ),
        lambda: [_row(one, now) for one in found],
        ("QUEUE", *map(str.upper, WAYS), "ACTIVE", "LIMIT", "STATE"),
        lambda: [_cells(one) for one in found],
        lambda: [_value(one) for one in found],
        lambda: [escape(one.name) for one in found],
    ).print(form, header=not no_header)
    if not found:
        hint("there is no queue with jobs, and nothing is said of any")


def _row(one: QueueInfo, now: float) -> list[str]:
    active, limit = digits(one.active), one.control.limit
    if limit is not None:
        active += f" of {limit}"
    counts = (digits(getattr(one, way)) for way in WAYS)
    return [escape(one.name), *counts, active, escape(", ".join(_states(one.control, now)))]


def _cells(one: QueueInfo) -> list[str]:
    limit = "" if one.control.limit is None else str(one.control.limit)
    counts = (str(getattr(one, way)) for way in WAYS)
    states = escape(", ".join(_states(one.control, None)))
    return [escape(one.name), *counts, str(one.active), limit, states]


def _states(control: Control, now: float | None) -> Iterable[str]:
    """`paused 12m by ann: disk swap`; off a terminal without the time that passes."""
    for word, said in (("paused", control.paused), ("closed", control.closed)):
        if said is not None:
            yield word + ("" if now is None else f" {age(now - said.at)}") + whose(said)
    if control.max_waiting is not None:
        yield f"at most {control.max_waiting} wait"


def _value(one: QueueInfo) -> dict[str, JSON]:
    counts = {way: getattr(one, way) for way in WAYS}
    return {"queue": one.name, **counts, "active": one.active, **_control(one.control)}


def _control(control: Control) -> dict[str, JSON]:
    return {
        "paused": _said(control.paused),
        "closed": _said(control.closed),
        "limit": control.limit,
        "max_waiting": control.max_waiting,
    }


def _said(said: Said | None) -> JSON:
    if said is None:
        return None
    return {"by": said.by, "why": said.why, "at": said.at, "at_at": iso(said.at)}


def _say(spool: Spool, name: str, done: bool, *, as_json: bool, refused: str | None = None) -> None:
    """What is so of the queue now, for who asked in JSON. Raises Refused."""
    if as_json:
        control = spool.backend.controls().get(name, NOTHING)
        print_json({"queue": name, "changed": done, **_control(control)})
    if not done and refused is not None:
        raise Refused(CONFLICT, f"queue {name!r} {refused}")


def _spool(context: typer.Context, name: str, *, new: bool = False) -> Spool:
    """The spool, when it knows the queue. Raises Refused."""
    spool = opened(context).spool
    if not new:
        known = known_queues(spool.backend)
        if name not in known:
            raise Refused(
                NOT_FOUND,
                f"there is no queue {name!r}{did_you_mean(name, known)}; "
                "pause, close and set take --new for one that nobody has used yet",
            )
    return spool


def known_queues(backend: Backend) -> set[str]:
    """The queues that have jobs, that a worker serves, or of which anything was ever said."""
    known = {"default", *(one.name for one in backend.list_queues()), *backend.controls()}
    newest: list[Any] = backend.list_jobs(0, 200).rows
    known.update(job.queue for job in newest)
    for worker in workers(backend):
        known.update(str(name) for name in worker.status.get("queues", ()))
    return known


def _number(text: str | None, option: str) -> int | None:
    """0 for what is taken away. Raises Refused."""
    if text is None:
        return None
    if text.lower() in NONE:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Refused(USAGE, f"{option} {text!r}: a number, or none")
    return int(text)
