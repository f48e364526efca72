"""The values of options that a table of `grammar` only names: numbers and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import USAGE, Refused

if TYPE_CHECKING:
    from typing import Any


def at_least(least: int, values: dict[str, Any], name: str, flag: str) -> int | None:
    """The number that was given, None if none was. Raises Refused for a smaller one."""
    number: int | None = values.get(name)
    if number is not None and number < least:
        raise Refused(USAGE, f"{flag} is {least} or more, not {number}")
    return number


def seconds(values: dict[str, Any], name: str, flag: str) -> float | None:
    """The duration that was given, None if none was. Raises Refused, InvalidValue."""
    text = values.get(name)
    if text is None:
        return None
    found = parse_duration(text)
    if found < 0:
        raise Refused(USAGE, f"{flag} is 0 or more, not {text}")
    return found
