"""The rules of a job's life: which state follows which, and what its record says afterwards.

Pure: no disk, no clock, no randomness. Both backends commit what these functions decide, so the
rules exist once. A record is a plain dict with exactly the fields of `docs/format.md`; it never
says the job's state, because where the job is says that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from spoolq.errors import InvalidType, InvalidValue
from spoolq.states import JSON, UNKNOWN_ERROR, State

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any, Final

    Record = dict[str, Any]
else:
    Record = dict


Backoff = Callable[..., "float | timedelta"]

# (state, event) -> the states it may end in, none for a job that is gone then. What is not here
# does not happen: the operation answers False and changes nothing.
TABLE: Final[dict[tuple[State, str], tuple[State, ...]]] = {
    ("inactive", "dequeue"): ("active",),
    ("inactive", "retry"): ("inactive",),
    ("inactive", "edit"): ("inactive",),
    ("inactive", "hold"): ("inactive",),
    ("inactive", "unhold"): ("inactive",),
    ("inactive", "stuck"): ("failed",),
    ("active", "finish"): ("finished",),
    ("active", "fail"): ("failed", "inactive"),
    ("active", "release"): ("inactive",),
    ("active", "retry"): ("inactive",),
    ("finished", "retry"): ("inactive",),
    ("failed", "retry"): ("inactive",),
    ("finished", "edit"): ("finished",),
    ("failed", "edit"): ("failed",),
    ("inactive", "remove"): (),
    ("finished", "remove"): (),
    ("failed", "remove"): (),
}
REMOVABLE: Final = frozenset(state for state, event in TABLE if event == "remove")

MAX_ID: Final = 2**63 - 1
MAX_DEPTH: Final = 64
HISTORY: Final = 25  # attempts remembered in a record; older ones are dropped from the middle

_NOT_GATED: Final = (None,) * 5
_SCALARS = frozenset({str, int, bool, float, type(None)})


def default_backoff(retries: int) -> float:
    """Seconds to wait before attempt `retries` + 1: retries**4 + 15, Minion's [116]."""
    return retries**4 + 15


def new_record(
    task: str,
    args: Sequence[JSON],
    kwargs: Mapping[str, JSON] | None,
    now: float,
    *,
    attempts: int = 1,
    delay: float = 0,
    expire: float | None = None,
    lax: bool = False,
    notes: Mapping[str, JSON] | None = None,
    parents: Iterable[Any] = (),
    priority: int = 0,
    queue: str = "default",
    timeout: float | None = None,
    unique: str | bool | None = None,
    unique_while: str | None = None,
    unique_for: float | None = None,
    concurrency: Sequence[Any] | None = None,
    rate: Sequence[Any] | None = None,
) -> Record:
    """Check an enqueue and make its record, all but the id.

    Raises InvalidType or InvalidValue, naming the option, before anything is stored
    [11, 12, 14, and 13, 15, 23 as api.md's "Better than Minion" 11 and 12 want them].
    """
    check_task(task)
    args = check_args(args)
    check_queue(queue)
    if type(attempts) is not int or attempts < 0:
        check_attempts(attempts)
    if type(priority) is not int or not -MAX_ID <= priority <= MAX_ID:
        check_priority(priority)
    record: Record = {
        "id": 0,
        "task": task,
        "args": args,
        "kwargs": {} if kwargs is None else check_object(kwargs, "kwargs"),
        "queue": queue,
        "priority": priority,
        "attempts": attempts,
        "retries": 0,
        "lax": lax if type(lax) is bool else check_flag(lax, "lax"),
        "parents": [] if parents == () else check_parents(parents),
        "notes": {} if notes is None else check_object(notes, "notes"),
        "timeout": None if timeout is None else check_timeout(timeout),
        "created": now,
        "delayed": now + check_seconds(delay, "delay") if delay else now,
        "expires": None if expire is None else now + check_seconds(expire, "expire"),
        "retried": None,
        "started": None,
        "finished": None,
        "worker": None,
        "result": None,
        "exit": None,
        "history": [],
    }
    gated = (unique, unique_while, unique_for, concurrency, rate)
    if gated == _NOT_GATED:
        return record
    from spoolq.gates import members  # 3 ms, which most jobs need not spend

    gates = members(
        task,
        args,
        record["kwargs"],
        now,
        unique=unique,
        unique_while=unique_while,
        unique_for=unique_for,
        concurrency=concurrency,
        rate=rate,
    )
    # In front of what changes: `encode_ended` builds on what `new_record` puts last.
    at = list(record).index("created")
    return dict([*list(record.items())[:at], *gates.items(), *list(record.items())[at:]])


def finished(record: Record, result: JSON, now: float, exit_status: JSON = None) -> Record:
    """The record of a job that ended well. `attempts` and `retries` stay as they are [87]."""
    return _ended(record, "finished", result, now, exit_status)


def failed(
    record: Record,
    result: JSON,
    now: float,
    backoff: Backoff = default_backoff,
    exit_status: JSON = None,
    *,
    final: bool = False,
    delay: float | None = None,
) -> tuple[State, Record]:
    """What becomes of a job whose attempt failed: `failed`, or `inactive` with one attempt less.

    A `final` failure gives up the attempts that are left, as if this had been the last; else the
    next one is due in `delay` seconds, or when the backoff says.
    One decision and one record, so nobody ever sees `failed` before a retry that follows
    (api.md, "Better than Minion" 2; [117-124]).
    """
    result = UNKNOWN_ERROR if result is None else result
    after = _ended(record, "failed", result, now, exit_status)
    if record["attempts"] <= 1:
        return "failed", after
    if final:
        after["attempts"] = 1
        return "failed", after
    if delay is None:
        delay = call_backoff(backoff, record["retries"], result)
    after.update(
        attempts=record["attempts"] - 1,
        retries=record["retries"] + 1,
        retried=now,
        delayed=now + delay,
    )
    return "inactive", after


def stuck(record: Record, message: str) -> Record:
    """The record of a job nobody took: failed, with attempts and `finished` untouched [222]."""
    return {**record, "result": message}


def retried(record: Record, now: float, options: Mapping[str, Any]) -> Record:
    """The record after a retry by hand: counted, due now or later, options replaced [88-109].

    `options` are those given: attempts, delay, expire, lax, parents, priority, queue. Anything
    else is refused.
    """
    unknown = options.keys() - _RETRY_CHECKS.keys() - {"delay", "expire"}
    if unknown:
        raise InvalidType(f"unknown retry option {min(unknown)!r}")
    given = {key: value for key, value in options.items() if value is not None}
    after = {**record, "retries": record["retries"] + 1, "retried": now}
    after["delayed"] = now + check_seconds(given.pop("delay", 0), "delay")
    if "expire" in given:
        after["expires"] = now + check_seconds(given.pop("expire"), "expire")
    for key, value in given.items():
        after[key] = _RETRY_CHECKS[key](value)
    return after


def edited(record: Record, now: float, options: Mapping[str, Any]) -> Record:
    """The record with what is given replaced, and nothing counted.

    `options` are args, kwargs, notes (merged), and those of enqueue; None takes `timeout` and
    `expire` away. Anything else is refused.
    """
    unknown = options.keys() - _EDIT_CHECKS.keys() - {"delay", "expire", "notes"}
    if unknown:
        raise InvalidType(f"unknown option {min(unknown)!r} of an edit")
    after = {**record}
    for key, value in options.items():
        if key == "delay":
            after["delayed"] = now + check_seconds(value, "delay")
        elif key == "expire":
            after["expires"] = None if value is None else now + check_seconds(value, "expire")
        elif key == "notes":
            after["notes"] = noted(record, check_object(value, "notes"))["notes"]
        else:
            after[key] = _EDIT_CHECKS[key](value)
    return after


def noted(record: Record, merge: Mapping[str, JSON]) -> Record:
    """The record with `merge` laid over its notes; a key given as None is removed [155-159]."""
    notes = {**record["notes"], **merge}
    for key, value in merge.items():
        if value is None:
            del notes[key]
    return {**record, "notes": notes}


def expired(record: Record, now: float) -> bool:
    """Whether an inactive job with this record is past its expiry [153]."""
    return record["expires"] is not None and bool(record["expires"] <= now)


def parent_blocks(state: State, *, lax: bool) -> bool:
    """Whether a parent in this state keeps its child waiting [131, 132, 134]."""
    return state != "finished" and not (lax and state == "failed")


def call_backoff(backoff: Backoff, retries: int, error: object) -> float:
    """Ask `backoff(retries, error)`, or `backoff(retries)` where it takes one argument.

    It is asked when an attempt has failed already, and nothing that goes wrong in it may keep that
    from being recorded: then the default counts, and the log says so.
    """
    if backoff is default_backoff:
        return default_backoff(retries)
    try:
        seconds = backoff(retries, error) if _wants_error(backoff) else backoff(retries)
        return check_seconds(seconds, "a backoff")
    except Exception:
        import logging  # for who has such a backoff

        usual = default_backoff(retries)
        text = "the backoff %r is no good after %d retries, %g seconds it is"
        logging.getLogger("spoolq").exception(text, backoff, retries, usual)
        return usual


def _wants_error(backoff: Backoff) -> bool:
    """Whether there is a second parameter for the error, and not for something of its own."""
    import inspect  # 10 ms, for who has a backoff of his own

    try:
        found = inspect.signature(backoff).parameters.values()
    except (TypeError, ValueError):
        return False  # in C, and it does not say
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    second = [each for each in found if each.kind in by_position][1:2]
    return any(each.default is each.empty or each.name == "error" for each in second)


def _ended(record: Record, state: State, result: JSON, now: float, exit_status: JSON) -> Record:
    attempt = {
        "retries": record["retries"],
        "state": state,
        "worker": record["worker"],
        "started": record["started"],
        "finished": now,
    }
    if exit_status is not None:
        attempt["exit"] = exit_status
    if state == "failed":
        attempt["error"] = brief(result)
    history = record["history"]
    if len(history) >= HISTORY:
        # The first attempt and the latest ones tell the story; a job retried for a year must
        # not grow for a year.
        history = history[:1] + history[-(HISTORY - 2) :]
    return {
        **record,
        "result": result,
        "finished": now,
        "exit": exit_status,
        "history": [*history, attempt],
    }


def brief(error: JSON) -> str:
    """One line about an error, for listings and the history of attempts."""
    text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= 200 else line[:199] + "…"


# -- what a caller may pass ----------------------------------------------------------------------


def check_task(task: object) -> str:
    """A task name: a string that is not empty and has no NUL."""
    if type(task) is not str:
        raise InvalidType(f"task must be a string, not {_kind(task)}")
    if not task or "\0" in task:
        raise InvalidValue("task must have a name: an empty string or a NUL names nothing")
    return task


def check_args(args: object) -> list[JSON]:
    """A list, or another sequence, of JSON values."""
    if type(args) is not list:
        if isinstance(args, str | bytes | Mapping) or not isinstance(args, Sequence):
            raise InvalidType(f"args must be a list of JSON values, not {_kind(args)}")
        args = list(args)
    for value in args:
        if type(value) not in _SCALARS:
            check_json(args, "args")
            break
    return args


def check_queue(queue: object) -> str:
    """A queue name: any string without NUL [26]."""
    if type(queue) is not str:
        raise InvalidType(f"queue must be a string, not {_kind(queue)}")
    if "\0" in queue:
        raise InvalidValue("queue must not contain a NUL character")
    return queue


def check_attempts(attempts: object) -> int:
    """How many runs a job may have; 0 means 1 [23]."""
    if type(attempts) is not int:
        raise InvalidType(f"attempts must be an integer, not {_kind(attempts)}")
    if attempts < 0:
        raise InvalidValue(f"attempts must not be negative: {attempts}")
    return attempts


def check_priority(priority: object) -> int:
    """Any integer of 64 bits; higher runs first [22]."""
    if type(priority) is not int:
        raise InvalidType(f"priority must be an integer, not {_kind(priority)}")
    if not -MAX_ID <= priority <= MAX_ID:
        raise InvalidValue(f"priority must fit in 64 bits: {priority}")
    return priority


def check_flag(value: object, name: str) -> bool:
    """True or false; 0 and 1 are taken as Minion takes them."""
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InvalidType(f"{name} must be true or false, not {_kind(value)}")


def check_seconds(value: object, name: str) -> float:
    """A duration in seconds: a number or a timedelta, negative allowed [19, 21]."""
    if type(value) is int or type(value) is float:
        pass
    elif hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidType(f"{name} must be a number of seconds, not {_kind(value)}")
    if not math.isfinite(value) or abs(value) > 1e11:
        raise InvalidValue(f"{name} must be a finite number of seconds below 1e11: {value}")
    return float(value)


def check_timeout(value: object) -> float:
    """Seconds a run may take; more than zero."""
    seconds = check_seconds(value, "timeout")
    if seconds <= 0:
        raise InvalidValue(f"timeout must be more than 0 seconds: {seconds:g}")
    return seconds


def check_id(value: object, what: str = "id") -> int:
    """An id: an integer, or the same in decimal digits [7], or anything with an `id`."""
    value = getattr(value, "id", value)
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise InvalidValue(f"{what} must be a whole number: {value[:40]!r}")
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(f"{what} must be an integer, not {_kind(value)}")
    if not -MAX_ID <= value <= MAX_ID:
        raise InvalidValue(f"{what} must fit in 64 bits")
    return value


def check_parents(parents: object) -> list[int]:
    """Ids, kept in the order given and as often as given; they need not exist [24, 25]."""
    if isinstance(parents, str | bytes | Mapping) or not isinstance(parents, Iterable):
        raise InvalidType(f"parents must be a list of ids, not {_kind(parents)}")
    if type(parents) is list and all(
        type(parent) is int and -MAX_ID <= parent <= MAX_ID for parent in parents
    ):
        return list(parents)
    return [check_id(parent, "parent") for parent in parents]


def check_object(value: object, name: str) -> dict[str, JSON]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidType(f"{name} must be an object with string keys, not {_kind(value)}")
    copy = dict(value)
    check_json(copy, name)
    return copy


def check_json(value: object, name: str, depth: int = 1) -> None:
    """Refuse what JSON cannot carry unchanged, wherever it is nested.

    Python's encoder would turn the key 1 into "1", and a NaN into no JSON at all.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue(f"{name}: {value} is no JSON number")
    if type(value) in _SCALARS:
        return
    if depth > MAX_DEPTH:
        raise InvalidValue(f"{name} is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidType(f"{name}: keys of a JSON object are strings, not {_kind(key)}")
            check_json(item, name, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_json(item, name, depth + 1)
    elif not isinstance(value, str | int | float):
        raise InvalidType(f"{name}: {_kind(value)} is not a JSON value")


def _kind(value: object) -> str:
    return f"{type(value).__name__} ({value!r:.60})"


_RETRY_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "attempts": check_attempts,
    "lax": lambda value: check_flag(value, "lax"),
    "parents": check_parents,
    "priority": check_priority,
    "queue": check_queue,
}
_EDIT_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    **_RETRY_CHECKS,
    "args": check_args,
    "kwargs": lambda value: check_object(value, "kwargs"),
    "timeout": lambda value: None if value is None else check_timeout(value),
}
