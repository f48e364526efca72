"""Durations and times as people write them: `90`, `2h30m`, `7d`; `17:00`, `tomorrow 9:00`."""

from __future__ import annotations

import re

from spoolq.errors import InvalidValue

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Final

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES: Final = "write 17:00, tomorrow 9:00, fri noon, 2026-12-24 18:30 or 2026-12-24T18:30Z"


def parse_duration(text: str) -> float:
    """Seconds. A number without a unit is seconds. Raises InvalidValue."""
    part = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)
    sign = -1 if text.startswith("-") else 1
    rest = text.strip().removeprefix("-").lower()
    total = 0.0
    while rest and (found := part.match(rest)) and (found[2] or found.end() == len(rest)):
        total += float(found[1]) * _SECONDS[found[2]]
        rest = rest[found.end() :]
        if not rest:
            return sign * total
    raise InvalidValue(f"{text!r} is no duration: write 90, 10m, 2h30m or 7d")


def parse_time(text: str, now: float) -> float:
    """The moment that is meant, in epoch seconds, later than `now`.

    A time of day is the next such time; with `today`, `tomorrow` or a day of the week before it,
    that day's (a day of the week is never today). A date is ISO 8601, with a time of day or
    without: then midnight. All in the time zone of this process, unless an offset or Z says
    another. Raises InvalidValue for anything else, and for what is over.
    """
    moment = _moment(" ".join(text.lower().split()), now)
    if moment is None:
        raise InvalidValue(f"{text!r} is no time: {_TIMES}")
    if moment <= now:
        raise InvalidValue(f"{text!r} is over, {now - moment:.0f} s ago: {_TIMES}")
    return moment


def _moment(text: str, now: float) -> float | None:
    from datetime import datetime, timedelta  # for this option only

    today = datetime.fromtimestamp(now).astimezone().replace(tzinfo=None)
    day, _, clock = text.rpartition(" ")
    if day in ("", "today", "tomorrow", *_DAYS):
        at = _time_of_day(clock, today)
        if at is None and not day and text in ("tomorrow", *_DAYS):
            day, at = text, today.replace(hour=0, minute=0, second=0, microsecond=0)
        if at is None:
            return _iso(text)
        if day == "tomorrow" or (not day and at.timestamp() <= now):
            at += timedelta(days=1)
        elif day in _DAYS:
            at += timedelta(days=(_DAYS.index(day) - at.weekday() - 1) % 7 + 1)
        return at.timestamp()
    return _iso(text)


def _time_of_day(text: str, today: datetime) -> datetime | None:
    text = {"noon": "12:00", "midnight": "0:00"}.get(text, text)
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", text, re.ASCII)
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups())
    return today.replace(hour=hour, minute=minute, second=second, microsecond=0)


def _iso(text: str) -> float | None:
    from datetime import datetime

    if not re.match(r"\d{4}-\d\d-\d\d([t ]|$)", text, re.ASCII):
        return None  # Python reads more than people mean: 20261224, 2026W52
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
