"""`schedule`: what is enqueued by itself, and when. Minion's flags, whole (contract §2.26)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.cli.formats import Listing, chosen, hint
from spoolq.cli.given import parse_json
from spoolq.cli.output import escape, iso, print_json
from spoolq.cli.tables import Column
from spoolq.model import JSON, ScheduleInfo
from spoolq.selection import did_you_mean
from spoolq.spool import Spool
from spoolq.why import age

_TIMES: Final = ("created", "last_run", "next_run")
_MOST: Final = 1000  # firings that `--next` shows
_PLAIN: Final = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
_YAML_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

Name = Annotated[str | None, typer.Argument(metavar="[NAME]")]


def add_to(app: typer.Typer) -> None:
    """Register this command."""
    app.command()(schedule)


def schedule(
    context: typer.Context,
    name: Name = None,
    *,
    enqueue: Annotated[
        str | None,
        typer.Option("--enqueue", "-e", metavar="NAME", help="Store it; needs -c and -t."),
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", "-c", metavar="EXPR", help="'0 9 * * 1-5', @daily.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", "-t", metavar="NAME")] = None,
    args: Annotated[str | None, typer.Option("--args", "-a", metavar="JSON")] = None,
    kwargs: Annotated[str | None, typer.Option("--kwargs", metavar="JSON")] = None,
    tz: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Else UTC.")] = None,
    catch_up: Annotated[
        str | None,
        typer.Option("--catch-up", metavar="none|latest|all", help="Of what was missed."),
    ] = None,
    overlap: Annotated[
        str | None,
        typer.Option("--overlap", metavar="allow|skip", help="While the last job has not ended."),
    ] = None,
    jitter: Annotated[
        str | None, typer.Option("--jitter", metavar="DURATION", help="Up to so much later.")
    ] = None,
    attempts: options.Attempts = None,
    expire: options.Expire = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="How long a try may run.")
    ] = None,
    notes: options.Notes = None,
    priority: options.Priority = None,
    queue: options.NewQueue = None,
    lax: Annotated[str | None, typer.Option("--lax", "-x", metavar="1|0")] = None,
    pause: Annotated[str | None, typer.Option("--pause", "-P", metavar="NAME")] = None,
    resume: Annotated[str | None, typer.Option("--resume", "-r", metavar="NAME")] = None,
    remove: Annotated[str | None, typer.Option("--remove", "-R", metavar="NAME")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Enqueue its job now, once more.")
    ] = None,
    dispatch: Annotated[
        bool, typer.Option("--dispatch", "-d", help="Enqueue what is due now.")
    ] = False,
    following: Annotated[
        int | None,
        typer.Option("--next", metavar="N", min=1, max=_MOST, help="The next N times of NAME."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0, help="Of the list.")] = 100,
    offset: Annotated[int, typer.Option("--offset", "-o", min=0, help="Of the list.")] = 0,
    output: Annotated[
        str | None, typer.Option("--output", metavar="table|json|jsonl|tsv|ids")
    ] = None,
    no_header: options.NoHeader = False,
    as_json: options.AsJson = False,
) -> None:
    """List schedules, show the one that is named, or store, pause, resume or remove one."""
    given = {
        "cron": cron,
        "task": task,
        "args": args,
        "kwargs": kwargs,
        "tz": tz,
        "catch_up": catch_up,
        "overlap": overlap,
        "jitter": jitter,
        "attempts": attempts,
        "expire": expire,
        "timeout": timeout,
        "notes": notes,
        "priority": priority,
        "queue": queue,
        "lax": lax,
    }
    said = {key: value for key, value in given.items() if value is not None}
    asked = {"-e": enqueue, "-P": pause, "-r": resume, "-R": remove, "--run": run}
    acts = {act: whom for act, whom in asked.items() if whom is not None}
    if dispatch:
        acts["-d"] = ""
    _check(name, [*acts], said, following)
    spool = opened(context).spool
    if acts:
        [(act, whom)] = acts.items()
        _act(spool, act, whom, said, as_json=as_json)
    elif name is not None:
        _show(spool, name, following, as_json=as_json)
    else:
        _list(spool, limit, offset, output, header=not no_header, as_json=as_json)


def _check(
    name: str | None, acts: Sequence[str], said: dict[str, Any], following: int | None
) -> None:
    """Refuse a command line that asks for two things, or for half of one."""
    if len(acts) > 1 or (acts and name is not None):
        asked = [*acts, *([] if name is None else [f"NAME {name!r}"])]
        raise Refused(USAGE, f"{' and '.join(asked)}: one thing at a time")
    if said and acts != ["-e"]:
        raise Refused(USAGE, f"--{min(said).replace('_', '-')} goes with -e NAME, which stores one")
    if following is not None and name is None:
        raise Refused(USAGE, "--next N NAME: of which schedule?")


# -- acts ----------------------------------------------------------------------------------------


def _act(spool: Spool, act: str, name: str, said: dict[str, Any], *, as_json: bool) -> None:
    match act:
        case "-d":
            _dispatch(spool, as_json=as_json)
        case "-e":
            _store(spool, name, said, as_json=as_json)
        case "--run":
            _run(spool, name, as_json=as_json)
        case "-P" | "-r":
            _set_paused(spool, name, paused=act == "-P", as_json=as_json)
        case "-R":
            if not spool.unschedule(name):
                raise _unknown(spool, name)
            if as_json:
                print_json({"name": name, "removed": True})


def _store(spool: Spool, name: str, said: dict[str, Any], *, as_json: bool) -> None:
    if "cron" not in said:
        raise Refused(USAGE, "Cron expression is required (-c).")  # Minion's words [436]
    if "task" not in said:
        raise Refused(USAGE, "Task is required (-t).")
    cron, task = said.pop("cron"), said.pop("task")
    args = parse_json(said.pop("args", "[]"), "-a", list, "array")
    for key in ("kwargs", "notes"):
        if key in said:
            said[key] = parse_json(said[key], f"--{key}", dict, "object")
    for key in ("jitter", "expire", "timeout"):
        if key in said:
            said[key] = parse_duration(said[key])
    if "lax" in said:
        said["lax"] = _switch(said["lax"])
    before = _find(spool, name)
    id_ = spool.schedule(name, cron, task, args, **said)
    if before is not None and before.declared is not None:
        hint(f"{escape(name)} is declared in {escape(before.declared)}: that counts again soon")
    if as_json:
        print_json({"id": id_, "name": name})
    else:
        print(id_)


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise Refused(USAGE, f"-x {text!r}: write -x 1 or -x 0")
    return text == "1"


def _set_paused(spool: Spool, name: str, *, paused: bool, as_json: bool) -> None:
    if not (spool.pause_schedule(name) if paused else spool.resume_schedule(name)):
        raise _unknown(spool, name)
    if as_json:
        print_json({"name": name, "paused": paused})


def _run(spool: Spool, name: str, *, as_json: bool) -> None:
    """Enqueue the job of a schedule; when it fires next stays as it is."""
    info = _one(spool, name)
    job = spool.enqueue(
        info.task,
        info.args,
        info.kwargs,
        attempts=info.attempts,
        expire=info.expire,
        lax=info.lax,
        notes=info.notes,
        priority=info.priority,
        queue=info.queue,
        timeout=info.timeout,
    )
    if as_json:
        print_json({"id": info.id, "name": name, "job": job.id})
    else:
        print(job.id)


def _dispatch(spool: Spool, *, as_json: bool) -> None:
    fired = spool.dispatch_schedules()
    if as_json:
        print_json(list(fired))
    elif not fired:
        print("--- []")
    else:
        lines = [f"- id: {e['id']}\n  job: {e['job']}\n  name: {_yaml(e['name'])}" for e in fired]
        print("---", *lines, sep="\n")


# -- looking -------------------------------------------------------------------------------------


def _show(spool: Spool, name: str, following: int | None, *, as_json: bool) -> None:
    info = _one(spool, name)
    if following is not None:
        times = _following(info, following)
        if as_json:
            found = {"next": list(times), "next_at": [iso(time) for time in times]}
            print_json({"name": name, "tz": info.tz, **found})
        else:
            print("\n".join(map(iso, times)))
        return
    if as_json:
        print_json(_value(info))
        return
    record: dict[str, Any] = {**asdict(info), "paused": int(info.paused), "lax": int(info.lax)}
    record |= {key: record[key] and iso(record[key]) for key in _TIMES}
    print("---")
    for key in sorted(record):
        print(f"{key}: {record[key] if key in _TIMES and record[key] else _yaml(record[key])}")


def _following(info: ScheduleInfo, most: int) -> list[float]:
    """The next times of a schedule, without its jitter."""
    from itertools import islice

    from spoolq.cron import HORIZON, times

    if info.next_run is None:
        return []
    # What is due next is due whatever the time is now.
    start = info.next_run - info.jitter - 1
    found = times(info.cron, start, start + most * float(HORIZON), info.tz)
    return list(islice(found, most))


def _list(
    spool: Spool, limit: int, offset: int, output: str | None, *, header: bool, as_json: bool
) -> None:
    form = chosen(output, as_json=as_json)
    found: list[ScheduleInfo] = spool.backend.list_schedules(offset, limit).rows
    now = spool.backend.now()

    def people() -> list[list[str]]:
        ids = [info.last_job for info in found if info.last_job is not None]
        states = {job.id: job.state for job in spool.backend.list_jobs(0, len(ids), ids=ids).rows}
        return [
            [
                escape(info.name),
                escape(info.cron),
                escape(info.tz),
                escape(info.task),
                _last(info, states, now),
                _next(info, now),
                "paused" if info.paused else "on",
                escape(info.declared or ""),
            ]
            for info in found
        ]

    def programs() -> list[list[str]]:
        return [
            [
                str(info.id),
                escape(info.name),
                escape(info.task),
                escape(info.cron),
                iso(info.next_run) if info.next_run is not None else "",
                str(int(info.paused)),
                escape(info.tz),
            ]
            for info in found
        ]

    Listing(
        (
            Column("NAME", least=8),
            Column("CRON", least=9),
            Column("TZ", rank=2, empty=("", "UTC")),
            Column("TASK", least=8),
            Column("LAST"),
            Column("NEXT"),
            Column("STATE"),
            Column("DECLARED", least=8, rank=3),
        ),
        people,
        ("ID", "NAME", "TASK", "CRON", "NEXT_RUN", "PAUSED", "TZ"),
        programs,
        lambda: [_value(info) for info in found],
        lambda: [str(info.id) for info in found],
    ).print(form, header=header)
    if form == "table" and found:
        hint(f"the next 5 times: spoolq schedule --next 5 {shlex.quote(escape(found[0].name))}")


def _last(info: ScheduleInfo, states: dict[int, str], now: float) -> str:
    if info.last_run is None or info.last_job is None:
        return "never"
    sign = {"finished": " ✓", "failed": " ✗", "active": " …"}.get(states.get(info.last_job, ""), "")
    return f"{age(now - info.last_run)}{sign}"


def _next(info: ScheduleInfo, now: float) -> str:
    if info.paused or info.next_run is None:
        return "-"
    return "due" if info.next_run <= now else f"in {age(info.next_run - now)}"


def _value(info: ScheduleInfo) -> JSON:
    value: dict[str, Any] = asdict(info)
    for name in _TIMES:
        value[f"{name}_at"] = None if value[name] is None else iso(value[name])
    return value


def _yaml(value: JSON) -> str:
    """A value as YAML on one line: JSON, which is YAML, but for null and plain words."""
    if value is None:
        return "~"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    return json.dumps(value)


def _find(spool: Spool, name: str) -> ScheduleInfo | None:
    rows: list[ScheduleInfo] = spool.backend.list_schedules(0, 1, names=[name]).rows
    return rows[0] if rows else None


def _one(spool: Spool, name: str) -> ScheduleInfo:
    info = _find(spool, name)
    if info is None:
        raise _unknown(spool, name)
    return info


def _unknown(spool: Spool, name: str) -> Refused:
    known = [info.name for info in spool.schedules()]
    near = did_you_mean(name, known)
    if not near:
        near = f" (known: {', '.join(known[:5])})" if known else "; spoolq schedule -e stores one"
    return Refused(NOT_FOUND, f"Schedule does not exist. {name!r}: no such schedule{near}")
