"""What cron expressions mean, and when they fire: Minion's grammar and times [243-264]."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spoolq import next_time
from spoolq.cron import latest_times, parse, times
from spoolq.errors import InvalidType, InvalidValue

TUESDAY = "2026-05-12 12:00"


def seconds(text: str) -> float:
    """Epoch seconds of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def fires(expression: str, after: str = TUESDAY, tz: str = "UTC") -> str:
    return text(next_time(expression, seconds(after), tz))


def minutes(field: str) -> list[int]:
    """The minutes of an hour at which this field fires."""
    hour = seconds("2026-01-01 00:00")
    found = times(f"{field} * * * *", hour - 1, hour + 3599)
    return [int(at - hour) // 60 for at in found]


def weekdays(field: str) -> list[int]:
    """The days of a week, Sunday 0, on which this field fires."""
    sunday = seconds("2026-01-04 00:00")
    found = times(f"0 0 * * {field}", sunday - 1, sunday + 7 * 86400 - 1)
    return [int(at - sunday) // 86400 for at in found]


@pytest.mark.minion(243, 246, 247)
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("5", [5]),
        ("*", list(range(60))),
        ("3-6", [3, 4, 5, 6]),
        ("*/15", [0, 15, 30, 45]),
        ("0-30/10", [0, 10, 20, 30]),
        ("1,5,58-59", [1, 5, 58, 59]),
        ("5,5,3-6", [3, 4, 5, 6]),
        ("5/10", [5]),
    ],
)
def test_a_field_is_a_number_a_range_a_step_or_a_list_of_these(
    field: str, expected: list[int]
) -> None:
    assert minutes(field) == expected


@pytest.mark.minion(243)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("59 * * * *", "2026-05-12 12:59"),
        ("0 23 * * *", "2026-05-12 23:00"),
        ("0 0 31 * *", "2026-05-31 00:00"),
        ("0 0 1 12 *", "2026-12-01 00:00"),
        ("0 0 * * 7", "2026-05-17 00:00"),
    ],
)
def test_the_five_fields_are_minute_hour_day_month_and_weekday(
    expression: str, expected: str
) -> None:
    assert fires(expression) == expected


@pytest.mark.minion(244)
@pytest.mark.parametrize("expression", ["* * * *", "* * * * * *", "", "*", "0 0 1 1"])
def test_more_or_fewer_than_five_fields_are_refused(expression: str) -> None:
    with pytest.raises(InvalidValue, match="expected 5 fields"):
        parse(expression)


@pytest.mark.minion(245)
@pytest.mark.parametrize("expression", [" * * * * *", "\t* * * * *"])
def test_white_space_in_front_is_one_field_too_many(expression: str) -> None:
    with pytest.raises(InvalidValue, match="expected 5 fields"):
        parse(expression)


@pytest.mark.minion(245)
def test_tabs_between_the_fields_and_white_space_behind_them_are_fine() -> None:
    assert parse("5\t4  * * *  \n") == parse("5 4 * * *")


@pytest.mark.minion(248)
@pytest.mark.parametrize("step", ["0", "x", "", "2/3", "-1", "1.5"])
def test_a_step_is_a_number_above_zero(step: str) -> None:
    with pytest.raises(InvalidValue, match=f'^Invalid step "{step}" in minute field$'):
        parse(f"*/{step} * * * *")


@pytest.mark.minion(248)
def test_a_step_beyond_the_range_leaves_the_first_value() -> None:
    assert minutes("*/70") == [0]


@pytest.mark.minion(249)
@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("60 * * * *", 'in minute field "60" (0-59)'),
        ("* 24 * * *", 'in hour field "24" (0-23)'),
        ("* * 0 * *", 'in day-of-month field "0" (1-31)'),
        ("* * 32 * *", 'in day-of-month field "32" (1-31)'),
        ("* * * 13 *", 'in month field "13" (1-12)'),
        ("* * * * 8", 'in day-of-week field "8" (0-7)'),
        ("5-2 * * * *", 'in minute field "5-2" (0-59)'),
        ("* * * * FRI-MON", 'in day-of-week field "FRI-MON" (0-7)'),
        ("* * * * SAT-SUN", 'in day-of-week field "SAT-SUN" (0-7)'),
        ("50-60/2 * * * *", 'in minute field "50-60/2" (0-59)'),
    ],
)
def test_what_is_out_of_range_or_reversed_is_refused_with_the_limits(
    expression: str, said: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(expression)

    assert str(caught.value) == f"Value out of range {said}"


@pytest.mark.minion(250)
def test_months_and_days_have_names_in_any_case() -> None:
    assert fires("0 0 1 jun *") == "2026-06-01 00:00"
    assert fires("0 0 1 JUL-SEP,Dec *") == "2026-07-01 00:00"
    assert weekdays("Mon") == [1]
    assert weekdays("tue-THU,sat") == [2, 3, 4, 6]


@pytest.mark.minion(250, 251)
@pytest.mark.parametrize(
    ("expression", "name", "field"),
    [
        ("* MON * * *", "MON", "hour"),
        ("JAN * * * *", "JAN", "minute"),
        ("* * * MON *", "MON", "month"),
        ("* * * * JAN", "JAN", "day-of-week"),
        ("* * * * MONDAY", "MONDAY", "day-of-week"),
        ("* * * JANUARY *", "JANUARY", "month"),
        ("* * MON-FRI * *", "MON", "day-of-month"),
    ],
)
def test_a_name_that_the_field_has_not_is_refused(expression: str, name: str, field: str) -> None:
    with pytest.raises(InvalidValue, match=f'^Invalid name "{name}" in {field} field$'):
        parse(expression)


@pytest.mark.minion(252)
@pytest.mark.parametrize(
    ("field", "expected"), [("7", [0]), ("5-7", [0, 5, 6]), ("0,7", [0]), ("SUN", [0])]
)
def test_seven_is_sunday(field: str, expected: list[int]) -> None:
    assert weekdays(field) == expected


@pytest.mark.minion(253)
@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_nickname_stands_for_an_expression(nickname: str, expression: str) -> None:
    assert parse(nickname) == parse(expression)


@pytest.mark.minion(253)
@pytest.mark.parametrize("nickname", ["@reboot", "@Daily", "@", "@daily "])
def test_an_unknown_nickname_is_refused(nickname: str) -> None:
    with pytest.raises(InvalidValue, match=f'^Unknown cron nickname "{nickname}"'):
        parse(nickname)


@pytest.mark.minion(254)
def test_leading_zeros_are_plain_decimals() -> None:
    assert parse("05 004 * * *") == parse("5 4 * * *")


@pytest.mark.minion(254, 256)
@pytest.mark.parametrize(
    "field", ["??", "?", "#", "1#2", "1.5", "+5", "-5", "5-", "1-2-3", "٣", "²"]
)
def test_garbage_is_refused(field: str) -> None:
    with pytest.raises(InvalidValue, match=r"^Invalid minute field"):
        parse(f"{field} * * * *")


@pytest.mark.minion(254)
@pytest.mark.parametrize("expression", ["L * * * *", "* L * * *", "* * * L *", "* * L-3 * *"])
def test_the_last_one_is_known_of_days_only(expression: str) -> None:
    with pytest.raises(InvalidValue, match=r"^Invalid"):
        parse(expression)


@pytest.mark.minion(255)
def test_a_lone_comma_is_an_empty_field_that_never_matches() -> None:
    assert parse(", * * * *")

    with pytest.raises(InvalidValue, match=r"^No matching time found for cron expression"):
        next_time(", * * * *", 0)


@pytest.mark.minion(255)
@pytest.mark.parametrize("field", ["1,,2", ",*", ",1"])
def test_an_empty_part_of_a_list_is_refused(field: str) -> None:
    with pytest.raises(InvalidValue, match=r'^Invalid minute field ""$'):
        parse(f"{field} * * * *")


def test_croniter_adds_the_last_day_and_the_days_of_a_month_by_their_number() -> None:
    assert fires("0 0 L * *") == "2026-05-31 00:00"
    assert fires("0 0 15,L 2 *") == "2027-02-15 00:00"
    assert fires("0 0 L 2 *") == "2027-02-28 00:00"
    assert fires("0 0 * * L5") == "2026-05-29 00:00"
    assert fires("0 0 * * L7") == "2026-05-31 00:00"
    assert fires("0 0 * * 5#2") == "2026-06-12 00:00"
    assert fires("0 0 * * 7#3") == "2026-05-17 00:00"


# -- the next time -------------------------------------------------------------------------------


@pytest.mark.minion(257)
@pytest.mark.parametrize("after", ["2026-05-12 12:00:00", "2026-05-12 12:00:30"])
def test_the_next_time_is_strictly_later_and_on_a_whole_minute(after: str) -> None:
    assert fires("* * * * *", after) == "2026-05-12 12:01"


@pytest.mark.minion(258)
@pytest.mark.parametrize(
    ("after", "expected"), [(1000000.9, 1000020), (1000020, 1000080), (1000019.999, 1000020)]
)
def test_a_fraction_of_a_second_does_not_count(after: float, expected: float) -> None:
    assert next_time("* * * * *", after) == expected


@pytest.mark.minion(259)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/5 * * * *", "2026-05-12 12:05"),
        ("0 13 * * *", "2026-05-12 13:00"),
        ("0 9 * * *", "2026-05-13 09:00"),
        ("0 9 * * 1-5", "2026-05-13 09:00"),
        ("0 0 1 1 *", "2027-01-01 00:00"),
        ("@hourly", "2026-05-12 13:00"),
        ("@daily", "2026-05-13 00:00"),
    ],
)
def test_the_next_time_after_a_tuesday_noon(expression: str, expected: str) -> None:
    assert fires(expression) == expected


@pytest.mark.minion(260)
def test_of_a_day_and_a_weekday_either_may_match() -> None:
    assert fires("0 0 1 * 0") == "2026-05-17 00:00"
    assert fires("0 0 1 * 0", "2026-05-31 12:00") == "2026-06-01 00:00"


@pytest.mark.minion(261)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 */1 * 0", "2026-05-13 00:00"),
        ("0 0 1-31 * 0", "2026-05-13 00:00"),
        ("0 0 1 * */1", "2026-05-13 00:00"),
        ("0 0 */2 * 0", "2026-05-13 00:00"),
        ("0 0 */30 * 3", "2026-05-13 00:00"),
        ("0 0 * * 0", "2026-05-17 00:00"),
        ("0 0 1 * *", "2026-06-01 00:00"),
    ],
)
def test_a_field_restricts_unless_it_is_a_bare_star(expression: str, expected: str) -> None:
    assert fires(expression) == expected


@pytest.mark.minion(262)
def test_a_leap_day_is_waited_for() -> None:
    assert fires("0 0 29 2 *", "2027-01-01 00:00") == "2028-02-29 00:00"


@pytest.mark.minion(263)
@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("0 0 31 2 *", "2026-01-01 00:00"),
        ("0 0 30 2 *", "2026-01-01 00:00"),
        ("0 0 31 4,6,9,11 *", "2026-01-01 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00"),
    ],
)
def test_the_search_is_given_up_after_five_years(expression: str, after: str) -> None:
    with pytest.raises(InvalidValue, match=r"^No matching time found for cron expression"):
        next_time(expression, seconds(after))


@pytest.mark.minion(264)
def test_an_expression_answers_the_same_however_often_it_is_asked() -> None:
    asked = [TUESDAY, "2030-01-01 00:00", TUESDAY]

    assert [fires("0 13 * * *", after) for after in asked] == [
        "2026-05-12 13:00",
        "2030-01-01 13:00",
        "2026-05-12 13:00",
    ]


def test_the_latest_times_are_the_last_ones_of_all() -> None:
    start, end = seconds("2026-01-01 00:00"), seconds("2026-03-01 00:00")
    for expression in ("0 */3 * * *", "7 4 * * 1", "*/20 2 1 * *", "0 0 1 1 *"):
        everything = list(times(expression, start, end))
        for most in (1, 3, 1000):
            assert latest_times(expression, start, end, most=most) == everything[-most:]


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("tz", ["Mars", "../etc/passwd", "Europe", "", "a\0b", "/etc/localtime"])
def test_an_unknown_zone_is_an_error(tz: str) -> None:
    with pytest.raises(InvalidValue, match="unknown time zone"):
        next_time("* * * * *", 0, tz)


def test_a_zone_that_is_nearly_right_is_guessed() -> None:
    with pytest.raises(InvalidValue, match=r"did you mean 'Europe/Berlin'\?"):
        next_time("* * * * *", 0, "Europe/Berln")
    with pytest.raises(InvalidValue, match=r"did you mean 'America/New_York'\?"):
        next_time("* * * * *", 0, "america/new_york")


def test_a_time_that_is_no_number_or_beyond_the_calendar_is_an_error() -> None:
    with pytest.raises(InvalidType):
        next_time("* * * * *", "now")  # type: ignore[arg-type]
    for after in (float("nan"), float("inf"), 1e15, -1e15):
        with pytest.raises(InvalidValue):
            next_time("* * * * *", after)
