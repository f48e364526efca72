"""Daylight saving, by Vixie cron's rules, against an oracle that goes through every minute.

The oracle is the rule in four lines: it knows neither segments nor transitions. It remembers the
latest local minute that any clock has shown; a fixed schedule fires when the minutes that are new
have one of its times among them, any other when the minute on the clock is one of its times.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from spoolq import next_time
from spoolq.cron import times

MINUTE = timedelta(minutes=1)

# The days around every change of the clocks in a year.
CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "UTC": ("2026-03-29",),
}
EXPRESSIONS = (
    "30 2 * * *",
    "0 2 * * *",
    "15 1 * * *",
    "45 1,2 * * *",
    "0,30 1-3 * * *",
    "5,25,45 0-4 * * 0",
    "0 3 * * *",
    "30 2 29 3 *",
    "15 2 8 3 1",
    "0 12 * * *",
    "*/20 * * * *",
    "*/15 2 * * *",
    "30 * * * *",
    "30 */2 * * *",
    "10 1-2 * * *",
)


def values(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = body.partition("-")
        start, end = (low, high) if body == "*" else (int(first), int(last or first))
        found |= set(range(start, end + 1, int(step or 1)))
    return found


class Oracle:
    """When an expression fires in a zone, found out minute by minute."""

    def __init__(self, expression: str, tz: str) -> None:
        minute, hour, self.day, month, self.weekday = expression.split()
        self.minutes, self.hours = values(minute, 0, 59), values(hour, 0, 23)
        self.days, self.months = values(self.day, 1, 31), values(month, 1, 12)
        self.weekdays = values(self.weekday, 0, 6)
        self.fixed = minute[0] != "*" and hour[0] != "*"
        self.zone = ZoneInfo(tz)

    def matches(self, at: datetime) -> bool:
        if at.minute not in self.minutes or at.hour not in self.hours:
            return False
        day, weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        either = "*" not in (self.day, self.weekday)
        return at.month in self.months and ((day or weekday) if either else (day and weekday))

    def fires(self, start: datetime, end: datetime) -> Iterator[float]:
        at, latest = start - timedelta(days=1), datetime(1, 1, 1)  # noqa: DTZ001
        while at <= end:
            shown = at.astimezone(self.zone).replace(tzinfo=None)
            if self.fixed:
                fresh = max(latest + MINUTE, shown - timedelta(hours=3))
                news = [fresh + MINUTE * n for n in range(int((shown - fresh) / MINUTE) + 1)]
                fired = any(map(self.matches, news))
                latest = max(latest, shown)
            else:
                fired = self.matches(shown)
            if fired and at >= start:
                yield at.timestamp()
            at += MINUTE


@pytest.mark.slow
@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("tz", "day"), [(tz, day) for tz in CHANGES for day in CHANGES[tz]])
def test_it_fires_when_the_oracle_does_around_a_change_of_the_clocks(
    tz: str, day: str, expression: str
) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    start, end = middle - timedelta(days=1), middle + timedelta(days=2)
    expected = list(Oracle(expression, tz).fires(start, end))

    found = list(times(expression, start.timestamp() - 1, end.timestamp(), tz))

    assert found == expected
    for minutes in range(7, 3 * 24 * 60, 97):  # from any second, not only from a firing
        after = start.timestamp() + minutes * 60 + 13
        later = [at for at in expected if at > after]
        if later:
            assert next_time(expression, after, tz) == later[0]


def local(text: str, tz: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz), fold=fold).timestamp()


def test_a_fixed_time_in_a_gap_fires_once_at_its_end() -> None:
    before, end = (
        local("2026-03-29 01:59", "Europe/Berlin"),
        local("2026-03-29 03:00", "Europe/Berlin"),
    )

    found = list(times("15,30,45 2 * * *", before, before + 86400, "Europe/Berlin"))

    assert found[0] == end
    assert found[1] == local("2026-03-30 02:15", "Europe/Berlin")


def test_a_fixed_time_in_an_hour_that_comes_twice_fires_the_first_time() -> None:
    first = local("2026-10-25 02:30", "Europe/Berlin")

    found = list(times("30 2 * * *", first - 60, first + 86400, "Europe/Berlin"))

    assert found == [first]


def test_a_schedule_that_begins_with_a_star_fires_in_both_hours_and_not_for_a_gap() -> None:
    autumn, spring = (
        local("2026-10-25 01:59", "Europe/Berlin"),
        local("2026-03-29 01:59", "Europe/Berlin"),
    )

    twice = list(times("30 * * * *", autumn, autumn + 3 * 3600, "Europe/Berlin"))
    skipped = list(times("*/30 2 * * *", spring, spring + 3 * 3600, "Europe/Berlin"))

    assert twice == [local("2026-10-25 02:30", "Europe/Berlin", fold) for fold in (0, 1)] + [
        local("2026-10-25 03:30", "Europe/Berlin")
    ]
    assert skipped == []


def test_a_change_of_half_an_hour_is_a_gap_as_any_other() -> None:
    zone = "Australia/Lord_Howe"
    before = local("2026-10-04 01:59", zone)

    assert next_time("15 2 * * *", before, zone) == local("2026-10-04 02:30", zone)


def test_a_day_that_a_country_left_out_is_a_long_gap() -> None:
    zone = "Pacific/Apia"  # there was no 30 December 2011
    before = local("2011-12-29 13:00", zone)

    assert next_time("0 12 * * *", before, zone) == local("2011-12-31 00:00", zone)
    assert next_time("0 12 * * *", local("2011-12-31 00:00", zone), zone) == local(
        "2011-12-31 12:00", zone
    )


def test_a_year_that_lies_between_does_not_lose_the_hour_that_comes_twice() -> None:
    before = local("2026-10-26 00:00", "Europe/Berlin")
    expression = "30 */1 25 10 *"

    found = list(times(expression, before, before + 366 * 86400, "Europe/Berlin"))

    assert len(found) == 24  # 2027: the clocks change on the 31st
    assert found[0] == local("2027-10-25 00:30", "Europe/Berlin")
