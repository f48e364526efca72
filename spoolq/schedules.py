"""The rules of schedules: what one is, when it is due, and what its record says afterwards.

Pure, as `transitions` is for jobs: both backends commit what is decided here. A record is a plain
dict with the fields of docs/format.md. Two of its times differ: an *occurrence* is a time that the
cron expression names; `next_run` is when its job is enqueued, later by the jitter. What has fired
is never before `occurrence`, and that only grows: a clock set back fires nothing twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import JSON, ScheduleInfo
from spoolq.transitions import Record, check_seconds, new_record

DISPATCH_INTERVAL: Final = 30.0  # seconds; Minion's [287]
MOST_AT_ONCE: Final = 1000  # missed occurrences that are made up for
CATCH_UP: Final = ("none", "latest", "all")
OVERLAP: Final = ("allow", "skip")
_MOST_JITTER: Final = 86400.0

_KEPT: Final = (
    "id", "created", "paused", "last_job", "last_run", "last_occurrence", "counted", "staged",
)  # fmt: skip
_ARGUMENTS: Final = ("name", "cron", "task", "args")
_OPTIONS: Final = (
    "kwargs", "tz", "catch_up", "overlap", "jitter", "declared", "attempts", "expire", "lax",
    "notes", "priority", "queue", "timeout",
)  # fmt: skip
_LIMITS: Final = ("concurrency", "rate")
OPTIONS: Final = frozenset({*_OPTIONS, *_LIMITS})
"""What `schedule` takes beside name, cron, task and args."""
_DEFAULTS: Final[Mapping[str, Any]] = {
    "kwargs": None, "tz": "UTC", "catch_up": "latest", "overlap": "allow", "jitter": 0.0,
    "declared": None, "attempts": 1, "expire": None, "lax": False, "notes": None, "priority": 0,
    "queue": "default", "timeout": None,
}  # fmt: skip
_TIME: Final = (int, float)
_MAYBE: Final = (int, float, type(None))
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "tz": (str,),
    "paused": (bool,),
    "created": _TIME,
    "occurrence": _MAYBE,
    "next_run": _MAYBE,
    "last_job": (int, type(None)),
    "last_run": _MAYBE,
    "last_occurrence": _MAYBE,
    "counted": _MAYBE,
    "staged": (str, type(None)),
}
_FIELDS: Final = frozenset({*_ARGUMENTS, *_OPTIONS, *_KINDS})
_FAR: Final = 9e11  # seconds
_SHOWN: Final = frozenset(ScheduleInfo.__dataclass_fields__)


class Firing(NamedTuple):
    """What becomes of a schedule that is due."""

    after: Record
    occurrence: float | None
    """The time the job is enqueued for; None when this one was skipped."""


def new_schedule(
    name: str,
    cron: str,
    task: str,
    args: Sequence[JSON],
    now: float,
    *,
    kwargs: Mapping[str, JSON] | None = None,
    tz: str = "UTC",
    catch_up: str = "latest",
    overlap: str = "allow",
    jitter: float = 0,
    declared: str | None = None,
    attempts: int = 1,
    expire: float | None = None,
    lax: bool = False,
    notes: Mapping[str, JSON] | None = None,
    priority: int = 0,
    queue: str = "default",
    timeout: float | None = None,
    concurrency: Sequence[Any] | None = None,
    rate: Sequence[Any] | None = None,
) -> Record:
    """Check a schedule and make its record, all but the id. Raises InvalidType, InvalidValue."""
    record = _checked(
        name,
        cron,
        task,
        args,
        now,
        kwargs=kwargs,
        tz=tz,
        catch_up=catch_up,
        overlap=overlap,
        jitter=jitter,
        declared=declared,
        attempts=attempts,
        expire=expire,
        lax=lax,
        notes=notes,
        priority=priority,
        queue=queue,
        timeout=timeout,
        concurrency=concurrency,
        rate=rate,
    )
    from spoolq.cron import check_zone, next_time  # for who has a schedule

    return _to(record, next_time(cron, now, check_zone(tz)))


def _checked(
    name: str, cron: str, task: str, args: Sequence[JSON], now: float, **options: Any
) -> Record:
    """The record of a schedule whose zone and next run have not been looked at."""
    from spoolq.cron import parse

    own = {key: options.pop(key) for key in ("tz", "catch_up", "overlap", "jitter", "declared")}
    expire = options["expire"]
    job = new_record(task, args, options.pop("kwargs"), now, **options)
    seconds = check_seconds(own["jitter"], "jitter")
    if not 0 <= seconds <= _MOST_JITTER:
        raise InvalidValue(f"jitter must be from 0 to {_MOST_JITTER:.0f} seconds: {seconds:g}")
    for key, value in (("cron", cron), ("tz", own["tz"]), ("declared", own["declared"])):
        if not isinstance(value, str) and not (key == "declared" and value is None):
            raise InvalidType(f"{key} must be a string, not {value!r:.40}")
    parse(cron)
    return {
        "id": 0,
        "name": check_name(name),
        "cron": cron,
        "tz": own["tz"],
        **{key: job[key] for key in ("task", "args", "kwargs", "queue", "priority", "attempts")},
        **{key: job[key] for key in ("lax", "notes", "timeout")},
        "expire": None if expire is None else check_seconds(expire, "expire"),
        "catch_up": _word(own["catch_up"], CATCH_UP, "catch_up"),
        "overlap": _word(own["overlap"], OVERLAP, "overlap"),
        "jitter": seconds,
        "declared": own["declared"],
        "created": now,
        "paused": False,
        "occurrence": None,
        "next_run": None,
        "last_job": None,
        "last_run": None,
        "last_occurrence": None,
        "counted": None,
        "staged": None,
        **({"limits": job["limits"]} if "limits" in job else {}),
    }


def check_name(name: object) -> str:
    """The name of a schedule: any string but the empty one, without NUL."""
    if not isinstance(name, str):
        raise InvalidType(f"a schedule's name must be a string, not {name!r:.40}")
    if not name or "\0" in name:
        raise InvalidValue("a schedule must have a name: an empty string or a NUL names nothing")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidValue("a lone surrogate is no text, and no name of a schedule") from None
    return name


def replaced(old: Record, new: Record, now: float) -> Record:
    """A schedule that is stored once more, with `new` in place of what it was [267-270]."""
    after = {**new, **{key: old[key] for key in _KEPT}}
    if (old["cron"], old["tz"]) == (new["cron"], new["tz"]):
        return {**after, "occurrence": old["occurrence"], "next_run": old["next_run"]}
    # A clock set back does not bring back what has fired.
    return _to(after, _following(after, max(now, old["last_occurrence"] or now)))


def unchanged(
    info: ScheduleInfo, cron: str, task: str, args: Sequence[JSON], options: Mapping[str, Any]
) -> bool:
    """Whether storing this under its name once more would change nothing.

    Raises InvalidType, InvalidValue for what cannot be stored.
    """
    new = _checked(info.name, cron, task, args, 0.0, **{**_DEFAULTS, **options})
    # As it is read back: of a template and of a decorator come tuples.
    limits = [list(limit) for limit in new.get("limits", [])]
    return limits == info.limits and all(
        new[key] == getattr(info, key) for key in (*_ARGUMENTS, *_OPTIONS)
    )


def is_due(record: Record, now: float) -> bool:
    """Whether a dispatch has something to do for it."""
    return not record["paused"] and record["next_run"] is not None and record["next_run"] <= now


def fire(
    record: Record, now: float, interval: float, is_running: Callable[[], bool]
) -> Firing | None:
    """What a dispatch makes of a schedule; None when it is not due.

    `is_running` tells whether its last job has not ended. Raises InvalidValue on a host that does
    not know its time zone.
    """
    if not is_due(record, now):
        return None
    if record["catch_up"] == "all" and record["overlap"] == "allow":
        return _make_up(record, now)
    latest = _latest(record, now)
    if record["overlap"] == "skip" and is_running():
        return _skip(record, latest)
    if record["catch_up"] == "all":
        return _make_up(record, now)
    if record["catch_up"] == "none" and now - _due(record, latest) > interval:
        return _skip(record, latest)
    return _fired(record, latest, now)


def _make_up(record: Record, now: float) -> Firing:
    """The first occurrence that is due; the first of the latest ones if there are too many."""
    from spoolq.cron import latest_times

    occurrence: float = record["occurrence"]
    if record["counted"] is None or occurrence > record["counted"]:
        most = MOST_AT_ONCE
        found = latest_times(record["cron"], occurrence, now, record["tz"], most=most)
        occurrence = found[0] if len(found) == most else occurrence
        record = {**record, "counted": now}  # what is left of these is not counted again
    return _fired(record, occurrence, now)


def job_of(record: Record, now: float) -> Record:
    """The job that this schedule enqueues now; `expire` counts from here [281]."""
    job = new_record(
        record["task"],
        record["args"],
        record["kwargs"],
        now,
        attempts=record["attempts"],
        expire=record["expire"],
        lax=record["lax"],
        notes=record["notes"],
        priority=record["priority"],
        queue=record["queue"],
        timeout=record["timeout"],
    )
    if "limits" in record:
        job["limits"] = record["limits"]
    return job


def check_record(value: Any) -> Record:
    """What was read as a record. Raises InvalidType, InvalidValue naming what is wrong."""
    if type(value) is not dict:
        raise InvalidType("it holds no JSON object")
    if not value.keys() >= _FIELDS:
        raise InvalidValue(f"the field {min(_FIELDS - value.keys())!r} is missing")
    # The zone is not looked up: a host that lacks it can show the schedule all the same.
    name, cron, task, args = (value[key] for key in _ARGUMENTS)
    checked = _checked(name, cron, task, args, 0.0, **{key: value[key] for key in _OPTIONS})
    if "limits" in value:
        from spoolq.gates import check_members

        if not isinstance(value["limits"], list):
            raise InvalidType(f"the field 'limits' is wrong: {value['limits']!r:.40}")
        check_members({"limits": value["limits"]})
    for key in _ARGUMENTS + _OPTIONS:
        if checked[key] != value[key]:
            raise InvalidType(f"the field {key!r} is wrong: {value[key]!r:.40}")
    for key, kinds in _KINDS.items():
        item = value[key]
        if type(item) not in kinds or (type(item) is float and not abs(item) < _FAR):
            raise InvalidType(f"the field {key!r} is wrong: {item!r:.40}")
    if (value["occurrence"] is None) != (value["next_run"] is None):
        raise InvalidValue("a next run and its occurrence belong together")
    return value


def info(record: Record) -> ScheduleInfo:
    """A record as callers see it."""
    return ScheduleInfo(**{key: value for key, value in record.items() if key in _SHOWN})


def _latest(record: Record, now: float) -> float:
    """The latest occurrence that is due."""
    from spoolq.cron import latest_times

    first: float = record["occurrence"]
    # Only with a jitter the last one before now may not be due yet.
    most = 1 + int(record["jitter"] // 60)
    found = latest_times(record["cron"], first, now, record["tz"], most=most)
    return [first, *(at for at in found if _due(record, at) <= now)][-1]


def _fired(record: Record, occurrence: float, now: float) -> Firing:
    after = {**record, "last_run": now, "last_occurrence": occurrence}
    return Firing(_to(after, _following(record, occurrence)), occurrence)


def _skip(record: Record, latest: float) -> Firing:
    return Firing(_to({**record, "last_occurrence": latest}, _following(record, latest)), None)


def _to(record: Record, occurrence: float | None) -> Record:
    """The record that waits for this occurrence."""
    due = None if occurrence is None else _due(record, occurrence)
    return {**record, "occurrence": occurrence, "next_run": due}


def _following(record: Record, after: float) -> float | None:
    """The occurrence after this time; None when there is none for years [263]."""
    from spoolq.cron import get_zone, next_time

    get_zone(record["tz"])  # a host that does not know it may not decide
    try:
        return next_time(record["cron"], after, record["tz"])
    except InvalidValue:
        return None


def _due(record: Record, occurrence: float) -> float:
    """When the job of an occurrence is enqueued: whoever asks gets the same answer."""
    jitter = record["jitter"]
    if not jitter:
        return occurrence
    digest = zlib.crc32(f"{occurrence:.0f} {record['name']}".encode("utf-8", "surrogatepass"))
    return occurrence + float(round(jitter * digest / 2**32, 3))


def _word(value: object, words: tuple[str, ...], name: str) -> str:
    if value not in words:
        said = ", ".join(f'"{word}"' for word in words)
        raise InvalidValue(f"{name} must be one of {said}, not {value!r:.40}")
    return str(value)
