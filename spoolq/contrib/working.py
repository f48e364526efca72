"""Running a worker from a framework's own command, with what that framework has set up.

The options are the most used ones of `spoolq worker`, called and meant as there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from spoolq import journal
from spoolq.cli.durations import parse_duration
from spoolq.errors import InvalidValue
from spoolq.loop.plan import Terms
from spoolq.spool import Spool


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `work` takes."""
    add = parser.add_argument
    add("-j", "--jobs", type=int, default=4, metavar="N", help="How many at once.")
    add("-q", "--queue", action="append", metavar="NAME", help="Serve this queue. Repeatable.")
    add("--pool", action="store_true", help="Children that are kept, not one for each job.")
    add("--burst", action="store_true", help="End when nothing is left.")
    add("--idle-exit", type=_duration, metavar="DURATION", help="End after idling so long.")
    add("--max-jobs", type=int, metavar="N", help="End after so many.")
    add(
        "--grace",
        type=_duration,
        default=30.0,
        metavar="DURATION",
        help="What running jobs are given to end in, once the worker is told to. [30s]",
    )
    add("--log-format", choices=journal.FORMATS, help="What the log looks like.")
    add("--log-level", choices=journal.LEVELS, default="info", help="What is logged.")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def work(spool: Spool, options: dict[str, Any], queues: Iterable[str] = ("default",)) -> None:
    """Perform jobs until there is a reason to end; `queues` are those when no option names any.

    INT and TERM let what runs end, a second INT does not. Raises what `Worker.run` raises.
    """
    journal.set_up(options["log_format"], options["log_level"])
    asked = options["queue"] or list(queues)
    journal.log.info(
        "spoolq on %s: %d jobs at once; queues: %s; %d Python tasks",
        spool.root,
        options["jobs"],
        ", ".join(asked),
        len(spool.tasks),
    )
    terms = Terms(
        burst=options["burst"],
        idle_exit=options["idle_exit"],
        max_jobs=options["max_jobs"],
        grace=options["grace"],
    )
    worker = spool.worker(jobs=options["jobs"], queues=asked, tasks=sorted(spool.tasks))
    worker.run(terms, runner="pool" if options["pool"] else "fork")
