"""Getting work done for long: `worker`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from spoolq import journal
from spoolq.cli.apps import spool_of
from spoolq.cli.exits import USAGE, Refused
from spoolq.cli.values import at_least, seconds
from spoolq.clock import SystemClock
from spoolq.loop.plan import Terms, count
from spoolq.version import VERSION

if TYPE_CHECKING:
    from spoolq.cli.context import Opened
    from spoolq.spool import Spool

GRACE: Final = 30.0  # seconds: what containers are given too before they are killed
RELOAD_GRACE: Final = "2s"

_INTERVALS: Final = (
    "command_interval",
    "dequeue_timeout",
    "dispatch_interval",
    "heartbeat_interval",
    "repair_interval",
)


def worker(opened: Opened, values: dict[str, Any], _: list[str]) -> int:
    """`spoolq worker`: the exit code."""
    given = dict(values)
    status = _status(given)
    grace = seconds(given, "grace", "--grace")
    terms = Terms(
        burst=bool(given.get("burst")),
        idle_exit=seconds(given, "idle_exit", "--idle-exit"),
        max_jobs=at_least(1, given, "max_jobs", "--max-jobs"),
        grace=GRACE if grace is None else grace,
    )
    runner = _runner(given.get("runner"), pool=bool(given.get("pool")))
    _set_up_log(given.get("log_format"), given.get("log_level", "info"))
    if given.get("reload"):
        return _supervise()
    _work(spool_of(opened, given.get("app")), status, terms, runner)
    return 0


def _status(given: dict[str, Any]) -> dict[str, Any]:
    """What was said of the worker; of what was not, the worker has defaults but for these."""
    status: dict[str, Any] = {
        "jobs": 4,
        "spare": 1,
        "spare_min_priority": given.get("spare_min_priority", 1),
        "limits": dict(_limit(text) for text in given.get("limits", ())),
        "queues": given.get("queues") or ["default"],
    }
    for name in ("jobs", "spare"):
        number = at_least(0, given, name, f"--{name}")
        if number is not None:
            status[name] = number
    for name in _INTERVALS:
        interval = seconds(given, name, f"--{name.replace('_', '-')}")
        if interval is not None:
            status[name] = interval
    return status


def _work(spool: Spool, status: dict[str, Any], terms: Terms, runner: str) -> None:
    journal.log.info(_banner(spool, status))
    # `tasks` is for who asks why a job does not run; executables everybody sees in jobs/.
    about = {
        "tasks": sorted(spool.tasks),
        "version": VERSION,
        "clock": round(SystemClock().wall() - spool.backend.now(), 3) + 0.0,
    }
    spool.worker(**status, **about).run(terms, runner=runner)


def _limit(text: str) -> tuple[str, int]:
    task, equals, number = text.rpartition("=")
    most = count(number)
    if not task or not equals or most is None:
        raise Refused(USAGE, f"Invalid limit option: {text}")  # Minion's words [433]
    return task, most


def _runner(name: str | None, *, pool: bool) -> str:
    if pool and name not in (None, "pool"):
        raise Refused(USAGE, f"--pool and --runner {name}: choose one")
    return "pool" if pool else name or "fork"


def _set_up_log(format: str | None, level: str) -> None:
    if format is not None and format not in journal.FORMATS:
        raise Refused(USAGE, f"--log-format is {', '.join(journal.FORMATS)}, not {format!r}")
    if level not in journal.LEVELS:
        raise Refused(USAGE, f"--log-level is {', '.join(journal.LEVELS)}, not {level!r}")
    journal.set_up(format, level)


def _supervise() -> int:
    from spoolq.cli.reloading import supervise

    arguments = [word for word in sys.argv[1:] if word != "--reload"]
    if not any(word.startswith("--grace") for word in arguments):
        arguments += ["--grace", RELOAD_GRACE]
    return supervise(arguments, os.getcwd())


def _banner(spool: Spool, status: dict[str, Any]) -> str:
    said = f"spoolq {VERSION} on {spool.root}: {status['jobs']} jobs at once"
    if status["spare"]:
        said += f", {status['spare']} more of priority {status['spare_min_priority']} and up"
    tasks = len(spool.tasks)
    queues = ", ".join(status["queues"])
    return f"{said}; queues: {queues}; {tasks} Python tasks"
