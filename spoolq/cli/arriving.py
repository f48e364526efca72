"""What `add` and `enqueue` say to somebody at a terminal: who will run the job, and when.

It looks at names and at the workers' few files alone: people type loops too. A script is told
only when it waits for a job that nobody will take.
"""

from __future__ import annotations

import os
from shlex import quote

from spoolq.cli.autostart import serving
from spoolq.cli.output import escape, hints, say
from spoolq.executables import EXEC, find_executable
from spoolq.files.names import encode

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    from spoolq.cli.context import Opened

MOST: Final = 1000  # jobs ahead that are counted


def tell(
    opened: Opened, id: int, task: str, options: dict[str, Any], *, started: bool, watched: bool
) -> None:
    """Say what a job that was just stored waits for.

    `started`: a worker was started for its queue; `watched`: `-f` or `-W` goes on to wait for it.
    """
    reads = hints()
    root, queue = opened.producer.root, options.get("queue", "default")
    name = escape(queue)
    if options.get("hold"):
        if reads or watched:
            say(f"held in queue {name}; spoolq release {id} lets it start")
        return
    workers = serving(root, queue, opened.producer.now())
    if not workers and not started:
        if not reads and not watched:
            return
        say(f"warning: no live worker serves queue {name}; the job will wait")
        word = quote(queue) if queue.isprintable() else quote(name)
        say(f"  start one:  spoolq worker -q {word}       once, here:  spoolq process -q {word}")
        return
    if not reads:
        return
    if task != EXEC and not find_executable(root, task) and not _is_known(task, workers):
        say(f"warning: no worker of queue {name} knows task {escape(task)}; the job will wait")
        say(f"  why:  spoolq why {id}")
        return
    first = "waits in" if {"delay", "parents"} & options.keys() else "ready in"
    ahead = _ahead(root, queue, options.get("priority", 0), id) if first == "ready in" else 0
    parts = [f"{first} queue {name}"]
    if ahead:
        many = f"{MOST} or more" if ahead >= MOST else ahead
        parts.append(f"{many} {'job' if ahead == 1 else 'jobs'} ahead")
    count = len(workers)
    parts.append(
        f"{count} {'worker serves' if count == 1 else 'workers serve'} it"
        if count
        else "a worker has been started for it"
    )
    say(", ".join(parts))
    if not watched:
        say(f"  spoolq logs -f {id}    spoolq wait {id}")


def _is_known(task: str, workers: list[dict[str, Any]]) -> bool:
    """Whether one of them knows it, or does not say what it knows."""
    return any(not isinstance(w.get("tasks"), list) or task in w["tasks"] for w in workers)


def _ahead(root: str, queue: str, priority: int, id: int) -> int:
    """How many jobs of the queue that are ready go before this one; MOST if it is more."""
    place, found = f"{root}/inactive/{encode(queue)}", 0
    for name in _names(place):
        if not name.removeprefix("-").isdecimal() or int(name) < priority:
            continue  # `delayed`, `held`, `waiting`; or it comes later
        for bucket in _names(f"{place}/{name}"):
            for job in _names(f"{place}/{name}/{bucket}"):
                number = job.partition(".")[0]
                found += number.isdecimal() and (int(name) > priority or int(number) < id)
                if found >= MOST:
                    return found
    return found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
