"""What callers of `Spool` give, checked, and as a backend takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from spoolq.errors import InvalidType, InvalidValue
from spoolq.flows import Signature
from spoolq.job import Seconds
from spoolq.model import JSON
from spoolq.schedules import OPTIONS
from spoolq.tasks import AnyTask
from spoolq.transitions import check_seconds


def batch_of(
    jobs: list[str | Sequence[Any]], given: Mapping[str, Any]
) -> tuple[list[str | Sequence[Any]], dict[str, Any]]:
    """The jobs of a batch as a backend takes them, and the options that they share."""
    calls = [job if isinstance(job, Signature) else None for job in jobs]
    if not any(calls):
        return jobs, dict(given)
    own = [_left(call, given) for call in calls]
    for one, options in zip(jobs, own, strict=True):
        different = [key for key in {**own[0], **options} if own[0].get(key) != options.get(key)]
        if different:
            raise InvalidValue(
                f"jobs of a batch share their options: {_told(jobs[0])} and {_told(one)} differ in "
                f"{different[0]!r}; give it to enqueue_many, or store them one by one with group"
            )
    plain = [job if call is None else call[:3] for job, call in zip(jobs, calls, strict=True)]
    return plain, {**own[0], **given}


def _left(call: Signature | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a call that are not given for the batch."""
    options = {} if call is None else call.options
    if "unique" in options and not options["unique"]:
        given = {**given, **dict.fromkeys(_GATES[:4])}  # it is not unique, whatever else it says
    return {name: options[name] for name in options if name not in given}


def _told(job: str | Sequence[Any]) -> str:
    return repr(job if isinstance(job, str) else job[0])


def schedule_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """As the backend takes them. Raises InvalidType for one that there is not."""
    known = OPTIONS - {"declared"}
    unknown = options.keys() - known
    if unknown:
        hint = ', but overlap="skip"' if "unique" in min(unknown) else ""
        raise InvalidType(
            f"a schedule has no option {min(unknown)!r}{hint}: only {', '.join(sorted(known))}"
        )
    return {key: plain_seconds(value) for key, value in options.items()}


def call_of_schedule(
    task: AnyTask[..., Any], args: Sequence[Any], options: Mapping[str, Any]
) -> tuple[str, list[JSON], dict[str, Any]]:
    """The task, the arguments and the options of a schedule that calls this task."""
    if isinstance(args, str) or not isinstance(args, Sequence):
        raise InvalidType(f"args must be a list of values, not {args!r:.60}")
    call = task.call(*args, **(options.get("kwargs") or {}))
    given = {**call.options, **{key: item for key, item in options.items() if key != "kwargs"}}
    if call.kwargs:
        given["kwargs"] = call.kwargs
    return call.task, call.args, schedule_options(given)


def command_words(argv: Sequence[Any]) -> list[str]:
    """A command line. Raises InvalidType, InvalidValue."""
    try:
        words = [os.fspath(word) for word in argv]
    except TypeError as error:
        raise InvalidType(f"argv is a list of words and paths: {error}") from None
    if not words or not all(isinstance(word, str) for word in words):
        raise InvalidValue(f"a command line has a program and words, not {words!r:.60}")
    return words


# What `Spool.enqueue` has where nothing is given.
NO_GATES: Final = (None, None, None, "return", None, None)


_GATES: Final = ("unique", "unique_while", "unique_for", "on_conflict", "concurrency", "rate")


_PLAIN: Final[Mapping[str, Any]] = {
    "attempts": 1,
    "delay": 0,
    "expire": None,
    "lax": False,
    "notes": None,
    "parents": (),
    "priority": 0,
    "queue": "default",
    "timeout": None,
    "hold": False,
}


def spread(given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The options of `Spool.enqueue` as those of `Backend.enqueue`, and what a conflict means."""
    unknown = given.keys() - {*_PLAIN, *_GATES}
    if unknown:
        raise InvalidType(f"there is no option {min(unknown)!r}")
    options = {**_PLAIN, **{name: value for name, value in given.items() if name in _PLAIN}}
    gates = tuple(given.get(name, none) for name, none in zip(_GATES, NO_GATES, strict=True))
    if gates != NO_GATES:
        options |= gate_options(*gates)
    return options, str(given.get("on_conflict", "return"))


def gate_options(
    unique: str | bool | None,
    unique_while: str | None,
    unique_for: Seconds | None,
    on_conflict: str,
    concurrency: object,
    rate: object,
) -> dict[str, Any]:
    """The options of `Backend.enqueue` for a job that has to pass something."""
    alone = (unique_while, unique_for, on_conflict) == (None, None, "return")
    if unique is None and not alone:
        raise InvalidType("unique_while, unique_for and on_conflict are for unique jobs")
    if on_conflict not in ("return", "raise", "replace"):
        raise InvalidValue(f"on_conflict is return, raise or replace: {on_conflict!r:.40}")
    found = given_ones(
        unique=unique,
        unique_while=unique_while,
        unique_for=_seconds(unique_for),
        concurrency=concurrency,
        rate=rate,
    )
    if on_conflict == "replace":
        found["replace"] = True
    return found


def given_ones(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def kept_filters(**filters: Iterable[Any] | None) -> dict[str, list[Any]]:
    """The filters given, as lists: every page asks for them again."""
    for name, values in filters.items():
        if isinstance(values, str | bytes):
            raise InvalidType(f"{name} must be a list, not the string {values!r}")
    return {name: list(values) for name, values in given_ones(**filters).items()}


def checked_seconds(value: Seconds | None, name: str) -> float | None:
    return None if value is None else check_seconds(value, name)


def _seconds(value: Seconds | None) -> float | None:
    return None if value is None else in_seconds(value)


def plain_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def in_seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value
