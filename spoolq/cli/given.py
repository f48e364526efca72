"""What a command line says about a job: its options, and how it is stored with them."""

from __future__ import annotations

import json

from spoolq.cli.exits import NOT_FOUND, USAGE, Refused
from spoolq.transitions import new_record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    from spoolq.cli.context import Opened
    from spoolq.states import JSON

EXEC: Final = "exec"
_PLAIN: Final[tuple[str, ...]] = ("queue", "priority", "attempts", "lax")
_DURATIONS: Final[tuple[str, ...]] = ("delay", "expire", "timeout")


def job_options(opened: Opened, values: dict[str, Any]) -> dict[str, Any]:
    """The options of a job among those of a command. Raises Refused, InvalidValue."""
    options: dict[str, Any] = {name: values[name] for name in _PLAIN if name in values}
    if values.keys() & {*_DURATIONS, "at"}:
        options |= _times(values)
    ways = [way for way in ("after", "after_any", "after_fail") if way in values]
    if ways:
        if len(ways) > 1:
            said = " or ".join(f"--{way.replace('_', '-')}" for way in ways)
            raise Refused(USAGE, f"a job waits for all in one way: {said}, not both")
        options["parents"] = _parents(opened, values[ways[0]])
        if ways != ["after"]:
            options["lax"] = True
    if "unique" in values:
        options["unique"] = values["unique"]
    if values.get("hold"):
        options["hold"] = True
    if "notes" in values:
        options["notes"] = parse_notes(values["notes"])
    if values.get("label"):
        options["notes"] = {**options.get("notes", {}), "label": values["label"]}
    return options


def enqueue_one(
    opened: Opened,
    task: str,
    arguments: list[JSON],
    named: dict[str, JSON] | None,
    options: dict[str, Any],
) -> int:
    """Store a job; its id. The whole library is loaded for what a `Producer` leaves to it."""
    if "unique" in options:
        return _enqueue_unique(opened, task, arguments, named, options)
    producer = opened.producer
    if producer.ready:
        now, hold = producer.now(), bool(options.get("hold"))
        record = new_record(task, arguments, named, now, **without_hold(options))
        id_ = producer.enqueue(record, now, hold=hold)
        if id_ is not None:
            return id_
    return opened.spool.enqueue(task, arguments, named, **options).id


def _enqueue_unique(
    opened: Opened,
    task: str,
    arguments: list[JSON],
    named: dict[str, JSON] | None,
    options: dict[str, Any],
) -> int:
    """Store a unique job, or name the one that holds its key: its id."""
    from spoolq.cli.output import escape, say

    if task == EXEC and options["unique"] is True:
        # The environment is not what makes two command lines different.
        from spoolq.gates import check_key

        where = {"cwd": (named or {}).get("cwd")}
        options = {**options, "unique": check_key(True, task, arguments, where)}
    job = opened.spool.enqueue(task, arguments, named, **options)
    if job.duplicate:
        say(f"spoolq: job {job.id} ({escape(job.task)}) holds the key: nothing was added")
    return job.id


def without_hold(options: dict[str, Any]) -> dict[str, Any]:
    """The options that a job's record has: where the job lies says that it is held."""
    return {name: value for name, value in options.items() if name != "hold"}


def dry_run(
    task: str, arguments: list[JSON], named: dict[str, JSON] | None, options: dict[str, Any]
) -> dict[str, JSON]:
    """The job that would be stored, as it is printed: without what happens to a job later."""
    from spoolq.cli.output import HIDDEN, with_twins
    from spoolq.clock import SystemClock

    record = new_record(task, arguments, named, SystemClock().wall(), **without_hold(options))
    if task == EXEC and "env" in record["kwargs"]:
        record["kwargs"]["env"] = HIDDEN
    later = ("id", "retries", "retried", "started", "finished", "worker", "result", "exit")
    shown = {name: record[name] for name in record if name not in (*later, "history")}
    return {**with_twins(shown), "held": bool(options.get("hold"))}


def parse_json(text: str, option: str, kind: type, name: str) -> Any:
    """The value of an option that takes JSON of one kind. Raises Refused."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(USAGE, f"{option} is not JSON: {error}") from None
    if not isinstance(value, kind):
        raise Refused(USAGE, f"{option} must be a JSON {name}")
    return value


def _times(values: dict[str, Any]) -> dict[str, float]:
    from spoolq.cli.durations import parse_duration, parse_time

    found = {name: parse_duration(values[name]) for name in _DURATIONS if name in values}
    if "at" in values:
        if "delay" in values:
            raise Refused(USAGE, "--delay or --at, not both")
        from spoolq.clock import SystemClock

        now = SystemClock().wall()
        found["delay"] = parse_time(values["at"], now) - now
    return found


def _parents(opened: Opened, words: list[str]) -> list[int]:
    from spoolq.cli.ids import parse_ids
    from spoolq.lookup import find
    from spoolq.selection import LAST, parse

    found: list[int] = []
    for word in ",".join(words).split(","):
        if word.startswith(LAST):
            found += [job.id for job in find(opened.spool.backend, parse([word])).jobs]
        else:
            found += parse_ids([word])
    newest = opened.producer.newest
    # One that is gone counts as done; one that has never been is a slip of the finger.
    never = [str(id_) for id_ in found if id_ > newest]
    if never:
        raise Refused(NOT_FOUND, f"no such job to wait for: {', '.join(never[:10])}")
    return found


def parse_notes(words: list[str]) -> dict[str, JSON]:
    """`KEY=JSON`, `KEY=text` or a JSON object, later ones over earlier ones."""
    notes: dict[str, JSON] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            notes |= parse_json(word, "--notes", dict, "object")
            continue
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise Refused(USAGE, f"--notes {word!r}: write KEY=JSON, or a JSON object")
        try:
            notes[key] = json.loads(text)
        except (ValueError, RecursionError):
            if text[:1] in ("{", "[", '"'):
                raise Refused(USAGE, f"--notes {key}=…: {text!r} is not JSON") from None
            notes[key] = text  # nobody wants to type '"abc"'
    return notes
