"""Cron: what an expression means, and when it fires next. Pure.

The grammar is Minion's [243-256] and two things more that croniter knows: `L` in the day of the
month, `L5` (the last Friday) and `5#2` (the second Friday) in the day of the week: see
docs/schedules.md. An expression is read here, because Minion's rules differ in corners, and handed
to croniter in a form in which the two agree; croniter then walks a calendar without time zones.

What daylight saving does to it is decided here, by Vixie cron's rules. Local time is a row of
segments with a constant offset each. Where a segment begins, the clock was put forward, which
leaves a gap of times that never come, or back, so that an hour comes twice. A schedule is *fixed*
when neither its minute nor its hour begins with `*`: it fires at the end of a gap for what lay in
it, and not again in an hour that comes twice. Any other is about the passing of time, and fires at
the local times that match, as they come.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spoolq.errors import InvalidType, InvalidValue

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

HORIZON: Final = 5 * 366 * 86400  # seconds after which the search is given up [263]
_PROBE: Final = 12 * 3600  # seconds; no zone has changed its offset and back within as many
_LOOK_BACK: Final = 26 * 3600  # seconds; no clock was put back by more than a day
_NEVER: Final = "No matching time found for cron expression"

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]
    extra: re.Pattern[str] | None = None  # what croniter adds


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day-of-month", 1, 31, {}, re.compile("[Ll]")),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field(
        "day-of-week",
        0,
        7,
        {name: number for number, name in enumerate(_DAYS)},
        re.compile("[Ll][0-7]|[0-7]#[1-5]"),
    ),
)


class Cron(NamedTuple):
    """An expression that was read: the days, hours and minutes as croniter wants them."""

    calendar: str  # "" for one that never fires
    fixed: bool


def next_time(expression: str, after: float, tz: str = "UTC") -> float:
    """The first time after `after` (epoch seconds) at which this expression fires in a zone.

    On a whole minute, strictly after `after` floored to a second [257, 258]. Raises InvalidValue
    for an expression or zone that is none, and for an expression that does not fire within the
    next 1,830 days [263]; OverflowError never, but InvalidValue for a time beyond the year 9999.
    """
    if isinstance(after, bool) or not isinstance(after, int | float):
        raise InvalidType(f"after must be epoch seconds, not {after!r:.40}")
    cron, zone = parse(expression), get_zone(tz)
    try:
        found = _next(cron, after // 1, zone)
    except (OverflowError, OSError, ValueError) as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue(f"the calendar ends before {after!r:.40}") from None
    if found is None:
        raise InvalidValue(f"{_NEVER} {expression!r}")
    return found


def times(expression: str, after: float, until: float, tz: str = "UTC") -> Iterator[float]:
    """Every time it fires after `after`, up to and with `until`."""
    cron, zone = parse(expression), get_zone(tz)
    at = _next(cron, after // 1, zone)
    while at is not None and at <= until:
        yield at
        at = _next(cron, at, zone)


def latest_times(
    expression: str, after: float, until: float, tz: str = "UTC", *, most: int
) -> list[float]:
    """The last `most` of `times`, in order. Its cost does not grow with the time between."""
    window = most * 60.0
    while True:
        start = max(after, until - window)
        found = deque(times(expression, start, until, tz), most)
        if start <= after or len(found) == most:
            return list(found)
        window *= 8


def check_cron(expression: object, tz: object = "UTC", now: float = 0.0) -> str:
    """An expression that fires some time in a zone that there is. Raises InvalidType,
    InvalidValue [271]."""
    if not isinstance(expression, str):
        raise InvalidType(f"cron must be a string, not {expression!r:.40}")
    next_time(expression, now, check_zone(tz))
    return expression


# -- the grammar ---------------------------------------------------------------------------------


@functools.lru_cache(1024)
def parse(expression: str) -> Cron:
    """Read an expression. Raises InvalidValue, in Minion's words."""
    if expression.startswith("@"):
        if expression not in _NICKNAMES:
            raise InvalidValue(
                f'Unknown cron nickname "{expression[:40]}" (known: {", ".join(_NICKNAMES)})'
            )
        expression = _NICKNAMES[expression]
    # White space in front makes an empty first field [245]; behind it does not matter.
    words = re.split(r"\s+", expression.rstrip(), flags=re.ASCII)
    if len(words) != 5 or not words[0]:
        raise InvalidValue(f'Invalid cron expression "{expression[:60]}": expected 5 fields')
    minute, hour, day, month, weekday = (
        _read(field, word) for field, word in zip(_FIELDS, words, strict=True)
    )
    fixed = not words[0].startswith("*") and not words[1].startswith("*")
    if not (minute and hour and day and month and weekday):
        return Cron("", fixed)  # a lone comma is an empty set [255]
    # A day matches when both fields do, or, if both restrict it, when one does [260]. A field
    # that names every day restricts nothing by itself, but lets the other one off [261].
    if "*" in (words[2], words[4]):
        days = "*" if len(day) == 31 else ",".join(day), _weekdays(weekday, words[4])
    elif len(day) == 31 or len(_plain(weekday)) == 7:
        days = "*", "*"
    else:
        days = ",".join(day), _weekdays(weekday, words[4])
    return Cron(f"{','.join(minute)} {','.join(hour)} {days[0]} {','.join(month)} {days[1]}", fixed)


def _weekdays(weekday: list[str], word: str) -> str:
    return "*" if word == "*" or len(_plain(weekday)) == 7 else ",".join(weekday)


def _plain(values: list[str]) -> list[str]:
    return [value for value in values if value.isdigit()]


def _read(field: _Field, word: str) -> list[str]:
    """The values of a field, as text; what croniter adds behind them."""
    values: set[int] = set()
    extra: list[str] = []
    # Perl's split, which Minion reads lists with, drops what is empty at the end.
    parts = word.rstrip(",").split(",") if word.rstrip(",") else []
    for part in parts:
        if field.extra and field.extra.fullmatch(part):
            extra.append(part.upper().replace("L7", "L0").replace("7#", "0#"))
        else:
            values.update(_read_part(field, part))
    if field.high == 7 and 7 in values:
        values = values - {7} | {0}  # Sunday [252]
    return [*map(str, sorted(values)), *dict.fromkeys(extra)]


def _read_part(field: _Field, part: str) -> range:
    body, slash, text = part.partition("/")
    step = 1
    if slash:
        step = int(text) if _is_number(text) else 0
        if step < 1:
            raise InvalidValue(f'Invalid step "{text[:40]}" in {field.name} field')
    if body == "*":
        low, high = field.low, field.high
        # Minion's `*` in the day of the week runs from 0 to 7, which is Sunday again.
        return range(low, high + 1, step)
    first, dash, last = body.partition("-")
    low = _number(field, first, part)
    high = _number(field, last, part) if dash else low
    if not field.low <= low <= high <= field.high:
        raise InvalidValue(
            f'Value out of range in {field.name} field "{part[:40]}" ({field.low}-{field.high})'
        )
    return range(low, high + 1, step)


def _number(field: _Field, text: str, part: str) -> int:
    if _is_number(text):
        return int(text)
    if text.isascii() and text.isalpha():
        if text.upper() in field.names:
            return field.names[text.upper()]
        raise InvalidValue(f'Invalid name "{text[:40]}" in {field.name} field')
    raise InvalidValue(f'Invalid {field.name} field "{part[:40]}"')


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


# -- zones ---------------------------------------------------------------------------------------


def check_zone(tz: object) -> str:
    """The name of a time zone. Raises InvalidType, InvalidValue."""
    if not isinstance(tz, str):
        raise InvalidType(f"tz must be the name of a time zone, not {tz!r:.40}")
    get_zone(tz)
    return tz


@functools.lru_cache(256)
def get_zone(tz: str) -> tzinfo:
    """The zone with this name in the IANA database. Raises InvalidValue."""
    if tz == "UTC":
        return UTC
    import zoneinfo  # for who uses one

    try:
        return _zone(zoneinfo.ZoneInfo(tz))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        raise InvalidValue(
            f"unknown time zone {tz!r:.60}: this host has no time zones; install tzdata, the "
            "package of the system or the one from PyPI"
        )
    from difflib import get_close_matches

    near = get_close_matches(tz, known, 1) or [
        name for name in sorted(known) if name.rpartition("/")[2].lower() == tz.lower()
    ]
    raise InvalidValue(
        f"unknown time zone {tz!r:.60}" + (f"; did you mean {near[0]!r}?" if near else "")
    )


def _zone(found: ZoneInfo) -> tzinfo:
    found.utcoffset(datetime(2000, 1, 1))  # noqa: DTZ001  # a file that is no zone fails here
    return found


# -- the calendar --------------------------------------------------------------------------------


def _next(cron: Cron, after: float, zone: tzinfo) -> float | None:
    """The next time, or None when there is none within the horizon. See the head of this file."""
    if not cron.calendar:
        return None
    at, end = after, after + HORIZON
    offset = _offset(zone, after)
    # The first local second that has not been looked at.
    floor = after + offset + 1
    if cron.fixed:
        floor = max(floor, _already_shown(zone, after))
    match = -float("inf")
    while True:
        if match < floor:
            found = _match(cron.calendar, floor, end + offset + _LOOK_BACK)
            if found is None:
                return None
            match = found
        change = _transition(zone, at, min(match - offset, end))
        if change is None:
            moment = match - offset
            return moment if moment <= end else None
        before, offset = offset, _offset(zone, change)
        if offset > before:  # put forward
            if cron.fixed and match < change + offset:
                return change  # it lay in the gap
            floor = max(floor, change + offset)
        elif cron.fixed:
            floor = max(floor, change + before)
        else:
            floor, match = change + offset, -float("inf")  # this hour comes again
        at = change


def _match(calendar: str, floor: float, end: float) -> float | None:
    """The first second from `floor` on, local time, whose minute the calendar has."""
    walker, error = _walker(calendar)
    walker.set_current(floor - 1, force=True)
    try:
        found = float(walker.get_next(float))
    except error:
        return None
    return found if found <= end else None


@functools.lru_cache(256)
def _walker(calendar: str) -> tuple[Any, type[Exception]]:
    # 100 ms: for who asks when.
    from croniter import croniter  # type: ignore[import-untyped]
    from croniter.croniter import CroniterBadDateError  # type: ignore[import-untyped]

    # Enough years for it to see the horizon; without a limit it looks through fifty.
    return croniter(calendar, 0.0, max_years_between_matches=7), CroniterBadDateError


def _offset(zone: tzinfo, at: float) -> float:
    """Seconds that local time is ahead of UTC."""
    if zone is UTC:
        return 0.0
    offset = (datetime.fromtimestamp(0, UTC) + timedelta(seconds=at)).astimezone(zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _transition(zone: tzinfo, after: float, until: float) -> float | None:
    """The first second after `after`, up to and with `until`, with another offset than before."""
    if zone is UTC:
        return None
    offset, low = _offset(zone, after), after
    while low < until:
        high = min(low + _PROBE, until)
        if _offset(zone, high) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            return high
        low = high
    return None


def _already_shown(zone: tzinfo, at: float) -> float:
    """The first local second that no clock has shown yet, if this one was put back of late."""
    shown, start = -float("inf"), at - _LOOK_BACK
    while True:
        before = _offset(zone, start)
        change = _transition(zone, start, at)
        if change is None:
            return shown
        shown = max(shown, change + before)
        start = change
