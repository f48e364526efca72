"""What callers ask a backend for, checked: the same words for what is wrong from each of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import STATES, State
from spoolq.transitions import check_id


def string(value: object, name: str) -> str:
    """A text. Raises InvalidType."""
    if not isinstance(value, str):
        raise InvalidType(f"{name} must be a string, not {value!r:.40}")
    return value


def strings(values: Iterable[str], name: str) -> list[str]:
    """A list of texts. Raises InvalidType, for one text as well."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidType(f"{name} must be a list of strings, not {values!r:.40}")
    return [string(value, name) for value in values]


def some_strings(values: Iterable[str] | None, name: str) -> frozenset[str] | None:
    """The same as a set; None is all. Raises InvalidType."""
    return None if values is None else frozenset(strings(values, name))


def ids(values: Iterable[Any], name: str = "ids") -> list[int]:
    """A list of ids, or of what has one. Raises InvalidType, InvalidValue."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidType(f"{name} must be a list of ids, not {values!r:.40}")
    return [check_id(value, name) for value in values]


def states(values: Iterable[str] | None) -> frozenset[State]:
    """States; None is all. Raises InvalidType, InvalidValue."""
    if values is None:
        return frozenset(STATES)
    wanted = set(strings(values, "states"))
    unknown = wanted - set(STATES)
    if unknown:
        raise InvalidValue(f"unknown state {min(unknown)!r} (known: {', '.join(STATES)})")
    return frozenset(state for state in STATES if state in wanted)


def natural(value: object, name: str) -> int:
    """A whole number, 0 or more. Raises InvalidType, InvalidValue."""
    if type(value) is not int:
        raise InvalidType(f"{name} must be an integer, not {value!r:.40}")
    if value < 0:
        raise InvalidValue(f"{name} must not be negative: {value}")
    return value


def check_page(offset: int, limit: int) -> None:
    """The bounds of a page. Raises InvalidType, InvalidValue."""
    natural(offset, "offset")
    natural(limit, "limit")
