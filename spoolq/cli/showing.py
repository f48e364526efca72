"""One job at a time: `show` and `why`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.colours import paint
from spoolq.cli.context import Opened, opened
from spoolq.cli.formats import hint, terminal_width
from spoolq.cli.listing import described, progress, run_time, tries
from spoolq.cli.output import compact, escape, job_json, local, many, print_json, status, words
from spoolq.cli.selecting import selection, some_or_last
from spoolq.cli.tables import cells, cut
from spoolq.logs import logged_attempts, read_log
from spoolq.lookup import Found, those_of
from spoolq.model import JSON, JobInfo, WorkerInfo
from spoolq.selection import LAST
from spoolq.why import (
    EXEC,
    Reason,
    age,
    brief_error,
    knows,
    live_workers,
    serves,
)

TAIL: Final = 64 * 1024  # bytes of output read for its last lines
CHILDREN: Final = 10  # that are shown with what they do
LONGEST: Final = 400  # columns of a value on a terminal
LINES: Final = 10  # of them shown


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("show")(show)
    app.command("info", hidden=True)(show)
    app.command()(why)


def show(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    show_env: Annotated[bool, typer.Option("--show-env", help="Its environment too.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show everything about a job, and the last lines of its output; the newest one by default.

    With --json one object for one id, and an array for everything else.
    """
    spool = opened(context)
    found = some_or_last(spool, selectors)
    if as_json:
        values = [described(found, job, show_env=show_env) for job in found.jobs]
        print_json(values[0] if selection(selectors or [LAST]).is_one else values)
        return
    for number, job in enumerate(found.jobs):
        if number:
            print()
        _print_job(spool, found, job, show_env=show_env)


def why(
    context: typer.Context,
    *,
    selectors: options.Selectors = None,
    as_json: options.AsJson = False,
) -> None:
    """Say why a job is not running, and what to do about it; the newest one by default."""
    found = some_or_last(opened(context), selectors)
    if as_json:
        values = [explained(found, job) for job in found.jobs]
        print_json(values[0] if selection(selectors or [LAST]).is_one else values)
        return
    for number, job in enumerate(found.jobs):
        if number:
            print()
        print("\n".join(explain(found, job)))


def explained(found: Found, job: JobInfo) -> dict[str, JSON]:
    """The answer of `why` for programs: every reason, the first one in front."""
    reasons = [{"code": one.code, "text": one.text, **one.detail} for one in found.reasons(job)]
    return {"id": job.id, "state": job.state, "view": found.view(job), "reasons": reasons}


# -- why -----------------------------------------------------------------------------------------

_SAID: Final = 45  # columns that `why` needs in its first line beside the job's name


def explain(found: Found, job: JobInfo) -> list[str]:
    """The answer of `why` for people."""
    name, seen = _name(job), found.view(job)
    if sys.stdout.isatty():  # a long command line is not what was asked about
        name = cut(name, max(terminal_width() - _SAID, 10))
    reasons = found.reasons(job)
    if reasons[0].code == "paused":
        text = escape(reasons[0].text)
        return [f"{job.id} {name} is active but {text}", f"  fix: spoolq resume {job.id}"]
    if seen == "active":
        return [f"{job.id} {name} is running {escape(reasons[0].text)}"]
    if seen == "finished":
        return [f"{job.id} {name} has finished"]
    if seen == "failed":
        again = f"  fix: spoolq logs {job.id}      then: spoolq retry {job.id}"
        return [f"{job.id} {name} failed: {escape(reasons[0].text)}", again]
    if reasons[0].code == "none":
        return [f"{job.id} {name} is {seen} and {reasons[0].text}", *_checked(found, job, set())]
    but = " but not running" if seen == "ready" else ""
    lines = [f"{job.id} {name} is {seen}{but}, because"]
    for one in reasons:
        lines.append(f"  {paint('✗')} {escape(_sentence(one))}")
        lines += [f"      {line}" for line in _more(found, job, one)]
    lines += _checked(found, job, {one.code for one in reasons})
    if fixes := _fixes(job, reasons[0]):
        lines.append("  fix: " + "      or: ".join(fixes))
    return lines


def _sentence(one: Reason) -> str:
    if one.code == "no-worker":
        return f"no live worker serves queue {one.detail['queue']}"
    return one.text


def _more(found: Found, job: JobInfo, one: Reason) -> Iterator[str]:
    """What else is known about a reason."""
    scene = found.scene
    if one.code == "parents":
        yield from (f"{parent} is {state}" for parent, state in one.detail["states"].items())
    if one.code == "no-worker":
        live = live_workers(scene.workers, job.time, scene.missing_after)
        queues = sorted({str(q) for worker in live for q in worker.status.get("queues", ())})
        if live:
            verb = "worker serves" if len(live) == 1 else "workers serve"
            yield f"{len(live)} live {verb}: {escape(', '.join(queues))}"
        else:
            yield "there is no live worker at all"
        gone = [w for w in scene.workers if w not in live and serves(w, job.queue)]
        if gone:
            last = max(gone, key=lambda worker: worker.notified)
            silent = age(job.time - last.notified)
            where = f"last one for {escape(job.queue)}: {place(last)}"
            yield f"{where}, silent for {silent} (probably dead)"
    if one.code == "no-task":
        known = sorted(
            {str(task) for worker in scene.workers for task in worker.status.get("tasks", ())}
            | scene.executables - {EXEC}
        )
        yield f"known: {escape(', '.join(known)) or 'none'}"


def _checked(found: Found, job: JobInfo, codes: set[str]) -> Iterator[str]:
    """What was looked at and does not keep the job."""
    good = {
        "delayed": "not delayed",
        "parents": "no parents" if not job.parents else "no parent keeps it",
        "queue-paused": "queue not paused",
        "limit": "no limit reached",
    }
    if "parent-failed" in codes:
        del good["parents"]
    if codes & {"task-limit", "queue-limit"}:
        del good["limit"]
    passed = [f"{paint('✓')} {text}" for code, text in good.items() if code not in codes]
    if passed:
        yield "  " + "   ".join(passed)
    scene = found.scene
    live = live_workers(scene.workers, job.time, scene.missing_after)
    knowing = sum(knows(worker, job.task, scene.executables) for worker in live)
    if live and knowing:
        task = "a command line" if job.task == EXEC else f"task '{escape(job.task)}'"
        yield f"  {paint('✓')} {task} is known to {knowing} of {many(len(live), 'live worker')}"


def _fixes(job: JobInfo, one: Reason) -> list[str]:
    queue = _word(job.queue)
    fixes = {
        "no-worker": [f"spoolq worker -q {queue}", f"spoolq process -q {queue}"],
        "no-task": ["spoolq worker --app MODULE:SPOOL"],
        "queue-paused": [f"spoolq queue resume {queue}"],
        "held": [f"spoolq release {job.id}"],
        "delayed": [f"spoolq retry {job.id}"],
        "expired": ["spoolq repair removes it"],
        "spool-readonly": ["spoolq doctor"],
    }
    if one.code == "parent-failed":
        return [f"spoolq retry {one.detail['parent']}", f"spoolq retry --lax {job.id}"]
    if one.code == "queue-limit":
        return [f"spoolq queue set {queue} --limit {one.detail['limit'] + 1}"]
    return fixes.get(one.code, [])


# -- show ----------------------------------------------------------------------------------------


def _print_job(spool: Opened, found: Found, job: JobInfo, *, show_env: bool) -> None:
    on_a_terminal = sys.stdout.isatty()
    fields = _fields(spool.backend, found, job, show_env=show_env)
    if on_a_terminal:
        print(_head(found, job))
        for name, value in _folded(_shortened(fields, job), terminal_width()):
            print(f"{name:>10}: {value}")
    else:
        for name, value in {
            "Id": str(job.id),
            "Task": _name(job),
            "State": found.view(job),
            **fields,
        }.items():
            print(f"{name}: {value}")
    print()
    for line in _story(found, job):
        print(f"  {line}")
    _print_output(spool.directory, job)
    if job.state == "failed":
        hint(f"  again: spoolq retry {job.id}    all of its output: spoolq logs {job.id}")


def _head(found: Found, job: JobInfo) -> str:
    left, right = f"● {job.id}  {_name(job)}", found.view(job)
    width = min(terminal_width(), 80) - 1
    left = cut(left, width - len(right) - 1)
    space = " " * (width - cells(left) - len(right))
    return left.replace("●", paint("●", right), 1) + space + paint(right)


def _surroundings(
    backend: Backend, job: JobInfo, *, show_env: bool
) -> tuple[dict[str, Any], str | None]:
    """The named arguments, as people read those of a command line, and who has added it."""
    root = getattr(backend, "root", None)
    kwargs: dict[str, Any] = dict(job_json(job, show_env=show_env, root=root)["kwargs"])
    if job.task != EXEC:
        return kwargs, None
    umask, by = kwargs.get("umask"), kwargs.pop("by", None)
    if isinstance(umask, int):
        kwargs["umask"] = f"{umask:03o}"
    return kwargs, by if isinstance(by, str) else None


def _fields(backend: Backend, found: Found, job: JobInfo, *, show_env: bool) -> dict[str, str]:
    kwargs, by = _surroundings(backend, job, show_env=show_env)
    ran = run_time(job)
    where = None if job.worker is None else _where(found, job.worker)
    path = getattr(backend, "path_of", lambda _: None)(job.id)
    waits = job.state == "inactive"
    fields: dict[str, str | None] = {
        "Queue": escape(job.queue),
        "Priority": str(job.priority),
        "Attempts": tries(job).replace("/", " of "),
        "Created": _moment(job.created, job.time) + (f" by {escape(by)}" if by else ""),
        "Delayed": _ahead(job.delayed, job.time) if waits and job.delayed > job.time else None,
        "Expires": None if job.expires is None else _ahead(job.expires, job.time),
        "Retried": _moment(job.retried, job.time) if waits and job.retried is not None else None,
        "Started": None
        if job.started is None or job.state != "active"
        else f"{_moment(job.started, job.time)} {escape(found.reason(job).text)}",
        "Finished": None
        if job.finished is None or waits or job.state == "active"
        else f"{_moment(job.finished, job.time)}"
        + (f", ran {age(ran or 0)}" if ran is not None else "")
        + (f" on {where}" if where else ""),
        "Reason": escape(found.reason(job).text) if waits else None,
        "Exit": status(job) or None,
        **_result(job),
        "Args": "  ".join([*map(compact, job.args), *_pairs(kwargs)]) or None,
        "Timeout": None if job.timeout is None else f"{job.timeout:g} s",
        "Notes": "  ".join(_note(key, value) for key, value in job.notes.items()) or None,
        "Parents": ", ".join(map(str, job.parents)) or "none",
        "Children": _children(backend, job.children),
        "File": None if path is None else escape(path),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _shortened(fields: dict[str, str], job: JobInfo) -> dict[str, str]:
    """No value fills the screen: the whole of it is asked for in another way."""
    whole = {"Result": f"spoolq result {job.id}"}
    return {
        name: value
        if cells(value) <= LONGEST
        else f"{cut(value, LONGEST)} (all: {whole.get(name, f'spoolq show --json {job.id}')})"
        for name, value in fields.items()
    }


def _folded(fields: dict[str, str], width: int) -> Iterator[tuple[str, str]]:
    """The short ones beside each other, as they are drawn."""
    beside = {"Queue": ("Priority", "Attempts"), "Parents": ("Children",)}
    follow = {name for names in beside.values() for name in names}
    for name, value in fields.items():
        if name not in follow:
            more = [
                f"{other}: {fields[other]}" for other in beside.get(name, ()) if other in fields
            ]
            line = "   ".join([value, *more])
            if len(line) + 12 <= width:
                yield name, line
            else:
                alone = (name, *beside.get(name, ()))
                yield from ((each, fields[each]) for each in alone if each in fields)


def _story(found: Found, job: JobInfo) -> Iterator[str]:
    """What happened to it, oldest first."""
    yield f"{_clock(job.created)}  enqueued"
    tried = [_attempt(found, attempt) for attempt in job.history]
    widest = max((len(where) for _, where, _ in tried), default=0)
    for started, where, how in tried:
        yield f"{_clock(started)}  {where.ljust(widest)}  {how}"
    if job.state == "active" and job.started is not None:
        where = escape(found.reason(job).text)
        yield f"{_clock(job.started)}  attempt {job.retries + 1} {where}"


def _attempt(found: Found, attempt: dict[str, Any]) -> tuple[float, str, str]:
    """(when it started, where it was, how it ended)."""
    ended = attempt["finished"]
    started = attempt["started"] or ended
    where = f"attempt {attempt['retries'] + 1} on {_where(found, attempt['worker'])}"
    error = escape(str(attempt.get("error", "")))
    return started, where, f"{attempt['state']} after {age(ended - started)}  {error}".rstrip()


def _print_output(root: str, job: JobInfo) -> None:
    attempts = logged_attempts(root, job.id)
    output = read_log(root, job.id, attempts[-1], tail=TAIL) if attempts else None
    if not output:
        return
    lines = output.decode("utf-8", "replace").splitlines()
    whole = len(output) < TAIL
    shown = lines[-LINES:]
    count = f"all {len(lines)}" if whole else "all of it"
    more = "" if whole and len(lines) <= LINES else f" (spoolq logs {job.id} shows {count})"
    what = f"last {many(len(shown), 'line')} of the log" if more else "the log"
    print(f"\n  {what}{more}:")
    for line in shown:
        print(f"  {escape(line)}")


def _result(job: JobInfo) -> dict[str, str | None]:
    if job.state == "failed" or (job.state == "inactive" and job.retries and job.history):
        return {"Error": escape(brief_error(job)) or None}
    return {"Result": None if job.result is None else compact(job.result)}


def _children(backend: Backend, ids: list[int]) -> str:
    """`17 (blocked), 18 (ready) and 3 more`; one that was removed is only named."""
    shown = ids[:CHILDREN]
    found = those_of(backend, shown)
    views = {child.id: f"{child.id} ({found.view(child)})" for child in found.jobs}
    said = ", ".join(views.get(id_, str(id_)) for id_ in shown) or "none"
    return said if len(ids) <= CHILDREN else f"{said} and {len(ids) - CHILDREN} more"


def _name(job: JobInfo) -> str:
    return words(job) if job.task == EXEC else escape(job.task)


def _note(key: str, value: JSON) -> str:
    if key == "progress":
        return f"progress={progress(value)}"
    return f"{escape(key)}={escape(value) if isinstance(value, str) else compact(value)}"


def _pairs(kwargs: Any) -> Iterator[str]:
    return (f"{escape(key)}={compact(value)}" for key, value in kwargs.items())


def _where(found: Found, worker: object) -> str:
    there = next((one for one in found.scene.workers if one.id == worker), None)
    return f"worker {worker}" if there is None else place(there)


def place(worker: WorkerInfo) -> str:
    """Where a worker is: `node07:4182`."""
    return f"{escape(worker.host)}:{worker.pid}"


def _moment(at: float, now: float) -> str:
    return f"{local(at)} {_zone(at)} ({age(now - at)} ago)"


def _ahead(at: float, now: float) -> str:
    word = f"in {age(at - now)}" if at > now else f"{age(now - at)} ago"
    return f"{local(at)} {_zone(at)} ({word})"


def _zone(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Z")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _word(text: str) -> str:
    return shlex.quote(escape(text))
