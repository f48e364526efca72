"""Durations and times as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from spoolq.cli.durations import parse_duration, parse_time
from spoolq.errors import InvalidValue

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 27, 14, 30, tzinfo=BERLIN).timestamp()  # a Friday; DST begins on Sunday


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("10m", 600), ("2h30m", 9000), ("7d", 604800), ("-5", -5)],
)
def test_a_duration_is_a_number_of_seconds_or_has_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 apples", "h", "1e9", "٣s", "--5"])
def test_what_is_no_duration_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(InvalidValue, match="write 90, 10m, 2h30m or 7d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "day", "clock"),
    [
        ("17:00", 27, (17, 0)),
        ("9:05", 28, (9, 5)),  # over for today
        ("14:30", 28, (14, 30)),  # now is over too
        ("noon", 28, (12, 0)),
        ("midnight", 28, (0, 0)),
        ("tomorrow", 28, (0, 0)),
        ("today 23:59:59", 27, (23, 59, 59)),
        ("Tomorrow  9:00", 28, (9, 0)),
        ("sun 12:00", 29, (12, 0)),  # in summer time
        ("fri 15:00", 3, (15, 0)),  # never today
        ("2026-03-29 12:00", 29, (12, 0)),
        ("2026-03-28", 28, (0, 0)),
    ],
)
def test_a_time_is_the_next_such_moment_here(text: str, day: int, clock: tuple[int, ...]) -> None:
    month = 3 if day > 26 else 4
    hour, minute, second = (*clock, 0)[:3]
    meant = datetime(2026, month, day, hour, minute, second, tzinfo=BERLIN)

    assert parse_time(text, NOW) == meant.timestamp()


@pytest.mark.parametrize("text", ["2026-12-24T18:30Z", "2026-12-24T19:30+01:00"])
def test_a_time_with_an_offset_means_the_same_everywhere(text: str) -> None:
    assert parse_time(text, NOW) == datetime(2026, 12, 24, 18, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "25:00", "17", "noonish", "2026-13-01", "20261224", "at 5"])
def test_what_is_no_time_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(InvalidValue, match="is no time: write 17:00"):
        parse_time(text, NOW)


@pytest.mark.parametrize("text", ["2026-03-27 14:00", "today 9:00", "1999-01-01"])
def test_a_time_that_is_over_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is over"):
        parse_time(text, NOW)
