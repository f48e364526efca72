"""Gates: what a job has to pass before it may start, beside its parents. Pure: no disk, no clock.

A **unique** job holds its key from enqueue until it has ended, and no other job with that key is
taken in meanwhile. A **concurrency** limit lets so many jobs with a key run at once, a **rate**
so many start within a period. What a job has to pass is in its record, so that every worker on
every host obeys it, whatever program made the job:

    "unique": {"key": "welcome-7", "mode": "unfinished" | "waiting" | "period", "until": null}
    "limits": [["concurrency", "tenant:7", 2, null], ["rate", "api", 100, 3600.0]]

Both members are there only in the records of jobs that have one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spoolq.errors import InvalidType, InvalidValue
from spoolq.states import JSON, State

FIRST: Final = 1 << 62
"""Jobs that wait at a gate lie under a parent that is none: its number is from here on."""

WHILE: Final = ("unfinished", "waiting")
_MOST: Final = 1_000_000  # of a limit
_LONGEST: Final = 1e9  # seconds
_UNTIL: Final = 9e11  # seconds since 1970 that a name can carry


class Gate(NamedTuple):
    """One thing that keeps a job from starting while others are in its way."""

    kind: str  # unique, concurrency or rate
    key: str
    limit: int = 1
    period: float | None = None

    @property
    def name(self) -> str:
        """What is the same for every job at this gate."""
        return f"{self.kind} {self.key}"

    @property
    def parent(self) -> int:
        """The number of the parent that is none, under which jobs wait at this gate."""
        return FIRST | int(digest(self.name)[:15], 16)


class Mark(NamedTuple):
    """Who holds a unique key. It counts as long as `holds` says so."""

    id: int
    nonce: str
    waiting: bool = False  # only while the job is inactive
    until: int | None = None  # µs: until then, whatever becomes of the job
    replaces: tuple[int, ...] = ()  # jobs that had the key, and have to be out of the way first

    @property
    def name(self) -> str:
        """The mark as the name of an empty file."""
        parts = [str(self.id), self.nonce]
        if self.waiting:
            parts.append("w")
        if self.until is not None:
            parts.append(f"u{self.until}")
        if self.replaces:
            parts.append("r" + "-".join(map(str, self.replaces)))
        return ".".join(parts)


def parse_mark(name: str) -> Mark | None:
    """The mark with this name; None for a name that is none."""
    id_, _, rest = name.partition(".")
    nonce, *more = rest.split(".")
    if not _digits(id_) or not nonce.isalnum() or not name.isascii():
        return None
    waiting, until, replaces = False, None, tuple[int, ...]()
    for part in more:
        numbers = part[1:].split("-")
        if part == "w":
            waiting = True
        elif part[:1] == "u" and _digits(part[1:]):
            until = int(part[1:])
        elif part[:1] == "r" and all(map(_digits, numbers)):
            replaces = tuple(map(int, numbers))
        else:
            return None
    return Mark(int(id_), nonce, waiting, until, replaces)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def holds(mark: Mark, state: State | None, now: float) -> bool:
    """Whether a mark counts whose job is in this state (None: not there, or expired)."""
    if mark.until is not None:
        return mark.until > now * 1_000_000
    return state == "inactive" or (state == "active" and not mark.waiting)


def key_of(record: Mapping[str, Any]) -> Gate:
    """What a unique job holds from its enqueue on."""
    return Gate("unique", record["unique"]["key"])


def running_key_of(record: Mapping[str, Any]) -> Gate | None:
    """What a job has to hold to run; None for one that is not unique, or for a period only.

    A job that is unique while it waits gives its key back when it starts; while it runs, until
    it has ended, it holds this other one.
    """
    unique = record.get("unique")
    if unique is None or unique["mode"] == "period":
        return None
    return key_of(record) if unique["mode"] == "unfinished" else running_twin(key_of(record))


def running_twin(key: Gate) -> Gate:
    """What the jobs hold while they run that hold this key while they wait."""
    return Gate("running", key.key)


def limits_of(record: Mapping[str, Any]) -> list[Gate]:
    """The limits that a job obeys."""
    return [Gate(*limit) for limit in record.get("limits", ())]


def gates_of(record: Mapping[str, Any]) -> list[Gate]:
    """Every gate that a job passes before it starts."""
    running = running_key_of(record)
    return [*([running] if running else []), *limits_of(record)]


def mark_of(record: Mapping[str, Any], nonce: str, replaces: tuple[int, ...] = ()) -> Mark:
    """The mark that a new job of this record puts on its key."""
    unique = record["unique"]
    until = None if unique["until"] is None else round(unique["until"] * 1_000_000)
    return Mark(record["id"], nonce, unique["mode"] == "waiting", until, replaces)


def described(gate: Gate, jobs: Sequence[int] = (), until: float | None = None) -> dict[str, Any]:
    """What `Backend.blocked_at` says of a gate."""
    return {**gate._asdict(), "jobs": list(jobs), "until": until}


def digest(text: str) -> str:
    """32 hex digits that stand for a key in the names of files."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# -- what a caller may pass ----------------------------------------------------------------------


def members(
    task: str,
    args: Sequence[JSON],
    kwargs: Mapping[str, JSON],
    now: float,
    *,
    unique: object,
    unique_while: object,
    unique_for: float | None,
    concurrency: object,
    rate: object,
) -> dict[str, Any]:
    """The members of a record that say what its job has to pass.

    Raises InvalidType, InvalidValue.
    """
    found: dict[str, Any] = {}
    if unique is None or unique is False:
        if unique_while is not None or unique_for is not None:
            raise InvalidType("unique_while and unique_for say how long a key is held: give unique")
    else:
        key = check_key(unique, task, args, kwargs)
        found["unique"] = {"key": key, **_how_long(unique_while, unique_for, now)}
    limits = [
        *(["concurrency", *_concurrency(limit), None] for limit in _each(concurrency)),
        *(["rate", *_rate(limit)] for limit in _each(rate)),
    ]
    if len({tuple(limit[:2]) for limit in limits}) < len(limits):
        raise InvalidValue("a job has one limit of a kind for a key, not two")
    if limits:
        found["limits"] = limits
    return found


def refuse_unique(options: Mapping[str, Any]) -> None:
    """A batch is stored whole or not at all. Raises InvalidType for one that should be unique."""
    wrong = options.keys() & {"unique", "unique_while", "unique_for", "replace", "on_conflict"}
    if wrong:
        raise InvalidType(
            f"jobs of a batch cannot be unique ({min(wrong)}): enqueue them one by one"
        )


def check_key(unique: object, task: str, args: Sequence[JSON], kwargs: Mapping[str, JSON]) -> str:
    """The key of a unique job; True makes one of its task and arguments."""
    if unique is True:
        try:
            call = json.dumps([args, kwargs], sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidType(f"args: {error}") from None
        return f"{task} {digest(call)}"
    return _key(unique, "unique")


def check_members(record: Mapping[str, Any]) -> None:
    """Whether a record's members are what `members` makes. Raises InvalidType, InvalidValue."""
    unique = record.get("unique")
    if unique is not None:
        if not isinstance(unique, dict) or unique.keys() != {"key", "mode", "until"}:
            raise InvalidType(f"{unique!r:.60} is not what makes a job unique")
        _key(unique["key"], "unique")
        period = unique["mode"] == "period"
        if not period and unique["mode"] not in WHILE:
            raise InvalidValue(f"a job is unique while it is one of {', '.join(WHILE)}")
        until = unique["until"]
        if period and (type(until) not in (int, float) or not abs(until) < _UNTIL):
            raise InvalidType(f"{until!r:.40} is no time")
    for limit in record.get("limits", ()):
        if not isinstance(limit, list) or len(limit) != 4:
            raise InvalidType(f"{limit!r:.60} is no limit")
        kind, *rest = limit
        if kind == "rate":
            _rate(rest)
        elif kind == "concurrency":
            _concurrency(rest[:2])
        else:
            raise InvalidValue(f"{kind!r:.40} is no kind of limit")


def _how_long(unique_while: object, unique_for: float | None, now: float) -> dict[str, Any]:
    if unique_for is not None:
        if unique_while is not None:
            raise InvalidType("a key is held for a period or while a job waits, not both")
        return {"mode": "period", "until": now + _period(unique_for, "unique_for")}
    mode = WHILE[0] if unique_while is None else unique_while
    if mode not in WHILE:
        raise InvalidValue(f"unique_while is one of {', '.join(WHILE)}: {mode!r:.40}")
    return {"mode": mode, "until": None}


def _each(limits: object) -> Iterable[Sequence[Any]]:
    """One limit, or a list of them."""
    if limits is None:
        return ()
    if isinstance(limits, str | bytes | Mapping) or not isinstance(limits, Sequence):
        raise InvalidType(f"a limit is (key, number) or (key, number, seconds), not {limits!r:.60}")
    return (limits,) if limits and isinstance(limits[0], str) else limits


def _concurrency(limit: object) -> list[Any]:
    if not isinstance(limit, list | tuple) or len(limit) != 2:
        raise InvalidType(f"concurrency is (key, how many at once), not {limit!r:.60}")
    return [_key(limit[0], "concurrency"), _number(limit[1], "concurrency")]


def _rate(limit: object) -> list[Any]:
    if not isinstance(limit, list | tuple) or len(limit) != 3:
        raise InvalidType(f"rate is (key, how many, within how many seconds), not {limit!r:.60}")
    return [_key(limit[0], "rate"), _number(limit[1], "rate"), _period(limit[2], "rate")]


def _key(key: object, name: str) -> str:
    if not isinstance(key, str):
        raise InvalidType(f"{name}: a key is a string, not {key!r:.60}")
    if not key or "\0" in key or len(key) > 1000:
        raise InvalidValue(f"{name}: a key has 1 to 1000 characters and no NUL")
    return key


def _number(value: object, name: str) -> int:
    if type(value) is not int:
        raise InvalidType(f"{name}: how many is an integer, not {value!r:.60}")
    if not 1 <= value <= _MOST:
        raise InvalidValue(f"{name}: how many is 1 to {_MOST}: {value}")
    return value


def _period(value: object, name: str) -> float:
    seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidType(f"{name}: a period is a number of seconds, not {value!r:.60}")
    if not 0 < seconds <= _LONGEST:
        raise InvalidValue(f"{name}: a period is more than 0 and at most 1e9 seconds: {seconds}")
    return float(seconds)
