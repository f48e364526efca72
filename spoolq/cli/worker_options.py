"""The options of `worker`: what each is called and takes. Their defaults stand at the command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from spoolq import journal
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import USAGE, Refused
from spoolq.loop.plan import DEFAULTS


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 0:
        raise Refused(USAGE, f"{text!r} is less than nothing")
    return seconds


def _lasting(name: str, what: str) -> Any:
    return typer.Option(name, metavar="DURATION", parser=_duration, help=what)


def _interval(short: str, long: str, what: str) -> Any:
    """An option for the key of the status that is called like it."""
    names = [name for name in (short, long) if name]
    default = DEFAULTS[long.removeprefix("--").replace("-", "_")]
    shown = f"{what} [{default:g} s]"
    return typer.Option(*names, metavar="DURATION", help=shown, parser=_duration)


# -- what is performed -----------------------------------------------------------------------------

App = Annotated[
    str | None,
    typer.Option("--app", metavar="MODULE:SPOOL", help="The program with the Python tasks."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="How many at once.")]
Spare = Annotated[int, typer.Option("--spare", "-s", min=0, help="More at once, of high priority.")]
SpareMinPriority = Annotated[
    int, typer.Option("--spare-min-priority", "-S", help="What high priority is.")
]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", "-L", metavar="TASK=N", help="No more of this task. Repeatable."),
]
Pool = Annotated[bool, typer.Option("--pool", help="The same as --runner pool.")]
Runner = Annotated[
    str | None,
    typer.Option("--runner", metavar="NAME", help="For Python tasks: fork, pool, aio."),
]

# -- when it ends ----------------------------------------------------------------------------------

Burst = Annotated[bool, typer.Option("--burst", help="End when nothing is left.")]
IdleExit = Annotated[float | None, _lasting("--idle-exit", "End after idling so long.")]
MaxJobs = Annotated[
    int | None, typer.Option("--max-jobs", min=1, metavar="N", help="End after so many.")
]
Grace = Annotated[
    float,
    _lasting("--grace", "How long jobs may go on after INT or TERM; then they are given back."),
]

# -- how often it looks ----------------------------------------------------------------------------

CommandInterval = Annotated[
    float | None, _interval("-C", "--command-interval", "Between commands.")
]
DequeueTimeout = Annotated[
    float | None, _interval("-D", "--dequeue-timeout", "Longest wait for a job.")
]
DispatchInterval = Annotated[
    float | None, _interval("", "--dispatch-interval", "Between schedules.")
]
HeartbeatInterval = Annotated[
    float | None, _interval("-I", "--heartbeat-interval", "Between beats.")
]
RepairInterval = Annotated[float | None, _interval("-R", "--repair-interval", "Between repairs.")]

# -- for its author --------------------------------------------------------------------------------

Reload = Annotated[
    bool, typer.Option("--reload", help="Start anew when a file of the program changes.")
]
LogFormat = Annotated[str | None, typer.Option("--log-format", metavar="|".join(journal.FORMATS))]
LogLevel = Annotated[str, typer.Option("--log-level", metavar="|".join(journal.LEVELS))]
