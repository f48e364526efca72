"""What somebody has said about a queue: paused, closed, how many at once, how many may wait.

Pure, and the same for every backend. A queue about which nothing was said has none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from spoolq.errors import InvalidType, InvalidValue, JobCorrupt, QueueClosed, QueueFull
from spoolq.states import JSON
from spoolq.transitions import MAX_ID, check_flag

LONGEST: Final = 1000  # characters of a reason


@dataclass(frozen=True, slots=True)
class Said:
    """Who said it, why ("" for no reason), and when (epoch seconds by the spool's clock)."""

    by: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Control:
    """What is so of one queue."""

    paused: Said | None = None
    """Nothing is claimed from it; what runs goes on."""
    closed: Said | None = None
    """No new job is taken in; what waits is still run."""
    limit: int | None = None
    """At most so many of its jobs run at once, on all hosts together."""
    max_waiting: int | None = None
    """At most so many of its jobs are inactive, as far as those who enqueue at once can see."""


NOTHING: Final = Control()


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """One queue at one moment: how many of its jobs do what, and what is said of it."""

    name: str
    ready: int
    delayed: int
    blocked: int
    held: int
    active: int
    control: Control = NOTHING


# Stands for one that is damaged: whatever it said, it is better that nothing starts.
UNREADABLE: Final = Control(paused=Said("spoolq", "what was said of this queue is damaged", 0.0))


def changed(
    control: Control,
    now: float,
    *,
    paused: bool | None = None,
    closed: bool | None = None,
    limit: int | None = None,
    max_waiting: int | None = None,
    by: str = "",
    why: str = "",
) -> Control:
    """What is so afterwards; None leaves a thing as it was, a number of 0 takes it away.

    Raises InvalidType or InvalidValue.
    """
    said = Said(_text(by, "by"), _text(why, "why"), now)
    if paused is not None:
        after = _again(control.paused, said) if check_flag(paused, "paused") else None
        control = replace(control, paused=after)
    if closed is not None:
        after = _again(control.closed, said) if check_flag(closed, "closed") else None
        control = replace(control, closed=after)
    if limit is not None:
        control = replace(control, limit=_count(limit, "limit") or None)
    if max_waiting is not None:
        control = replace(control, max_waiting=_count(max_waiting, "max_waiting") or None)
    return control


def check_open(control: Control, queue: str) -> None:
    """Raise QueueClosed when the queue takes in no new jobs."""
    if control.closed is not None:
        raise QueueClosed(f"queue {queue!r} is closed{whose(control.closed)}", queue)


def check_room(control: Control, queue: str, waiting: int, new: int) -> None:
    """Raise QueueFull when so many `new` jobs are too many beside those that wait."""
    most = control.max_waiting
    if most is not None and waiting + new > most:
        raise QueueFull(
            f"queue {queue!r} is full: {waiting} of at most {most} jobs wait in it", queue
        )


def whose(said: Said) -> str:
    """` by ann: disk full`, as far as it is known."""
    return (f" by {said.by}" if said.by else "") + (f": {said.why}" if said.why else "")


def to_json(control: Control) -> dict[str, JSON]:
    """As JSON, whole."""
    return asdict(control)


def from_json(value: Any) -> Control:
    """What `to_json` made. Raises JobCorrupt."""
    try:
        limit, most = value["limit"], value["max_waiting"]
        return Control(
            paused=_said(value["paused"]),
            closed=_said(value["closed"]),
            limit=None if limit is None else _count(limit, "limit"),
            max_waiting=None if most is None else _count(most, "max_waiting"),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise JobCorrupt(f"it is nothing that is said of a queue: {error!r}") from None


def _again(before: Said | None, said: Said) -> Said:
    """What is said a second time by the same one, for the same reason, was said the first time."""
    same = before is not None and (before.by, before.why) == (said.by, said.why)
    return before if before is not None and same else said


def _said(value: Any) -> Said | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return Said(_text(value["by"], "by"), _text(value["why"], "why"), float(value["at"]))


def _count(number: object, name: str) -> int:
    if type(number) is not int:
        raise InvalidType(f"{name} must be an integer, not {number!r:.40}")
    if not 0 <= number <= MAX_ID:
        raise InvalidValue(f"{name} must not be negative, and fit in 64 bits: {number}")
    return number


def _text(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise InvalidType(f"{name} must be a string, not {text!r:.40}")
    if len(text) > LONGEST:
        raise InvalidValue(f"{name} is longer than {LONGEST} characters")
    return text
