"""Schedules that are declared, in a program by `@spool.cron` or in `spoolq.toml`.

A declaration is stored as a schedule by whoever dispatches: a worker when it starts, `process`,
`Spool.dispatch_schedules`. Importing a program stores nothing. What a schedule remembers of its
declaration is where that stands: so a schedule whose declaration has gone from there is found and
reported. It goes on firing until somebody removes it, because a spool cannot know which of two
versions of a program is the one that is wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spoolq.errors import InvalidType, InvalidValue
from spoolq.schedules import OPTIONS, new_schedule, unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spoolq.backend import Backend
    from spoolq.model import JSON, ScheduleInfo
    from spoolq.registry import Registry

IN_SETTINGS: Final = "spoolq.toml"
_IN_CODE: Final = "program "
_ALL: Final = 2**31 - 1


class Declaration(NamedTuple):
    """One schedule as it is declared. `declared` says where."""

    name: str
    cron: str
    task: str
    args: Sequence[JSON]
    options: Mapping[str, Any]
    declared: str


class Declared(NamedTuple):
    """What came of storing the declarations."""

    vanished: list[ScheduleInfo]
    """Schedules that are declared no more where they were; they go on firing."""
    problems: list[str]
    """Declarations that cannot be stored, each with the reason."""


def place_in_code(fn: Any) -> str:
    """Where the function of a schedule stands: its module, or the script that is run."""
    module = str(getattr(fn, "__module__", None) or "?")
    return _IN_CODE + (sys.argv[0] if module == "__main__" and sys.argv[0] else module)


def declare(backend: Backend, registry: Registry) -> Declared:
    """Store every schedule that is declared here; one that is stored already is left alone.

    Of two declarations of one name that in `spoolq.toml` counts. Raises SpoolUnavailable.
    """
    declarations = {**registry.schedules}
    tables = getattr(registry.settings, "schedules", None) or {}
    problems = []
    for name, table in tables.items():
        try:
            declarations[name] = from_table(name, table)
        except (InvalidType, InvalidValue) as error:
            declarations.pop(name, None)
            problems.append(f"{IN_SETTINGS}: the schedule {name!r}: {error}")
    known = {info.name: info for info in backend.list_schedules(0, _ALL).rows}
    for item in declarations.values():
        options = {**item.options, "declared": item.declared}
        try:
            info = known.get(item.name)
            if info and unchanged(info, item.cron, item.task, item.args, options):
                continue
            backend.schedule(item.name, item.cron, item.task, item.args, **options)
        except (InvalidType, InvalidValue) as error:
            problems.append(f"{item.declared}: the schedule {item.name!r}: {error}")
    here = {place_in_code(function.fn) for function in registry.functions.values()}
    here |= {item.declared for item in registry.schedules.values()} | {IN_SETTINGS}
    gone = [
        info
        for info in known.values()
        if info.declared in here and info.name not in declarations and info.name not in tables
    ]
    return Declared(gone, problems)


def vanished_from_settings(
    infos: Sequence[ScheduleInfo], tables: Mapping[str, Any]
) -> list[ScheduleInfo]:
    """Schedules that `spoolq.toml` declared and declares no more."""
    return [info for info in infos if info.declared == IN_SETTINGS and info.name not in tables]


def wrong_tables(tables: Mapping[str, Any], now: float) -> list[str]:
    """What is wrong with the declarations in `spoolq.toml`."""
    problems = []
    for name, table in tables.items():
        try:
            item = from_table(name, table)
            new_schedule(name, item.cron, item.task, item.args, now, **item.options)
        except (InvalidType, InvalidValue) as error:
            problems.append(f"the schedule {name!r}: {error}")
    return problems


def from_table(name: str, table: Mapping[str, Any]) -> Declaration:
    """A `[schedules.NAME]` of `spoolq.toml`. Raises InvalidType, InvalidValue."""
    table = dict(table)
    try:
        cron, task = table.pop("cron"), table.pop("task")
    except KeyError as error:
        raise InvalidValue(f"it needs {error.args[0]!r}: cron and task are required") from None
    args = table.pop("args", [])
    known = OPTIONS - {"declared"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise InvalidValue(
            f"unknown key {unknown[0]!r} (known: cron, task, args, {', '.join(sorted(known))})"
        )
    return Declaration(name, cron, task, args, table, IN_SETTINGS)


def vanishing(info: ScheduleInfo) -> str:
    """One line about a schedule that is declared no more."""
    return (
        f"the schedule {info.name!r} is no longer declared in {info.declared} and goes on firing; "
        f"remove it with: spoolq schedule -R {info.name!r}"
    )
