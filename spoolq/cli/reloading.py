"""`spoolq worker --reload`: for development, a worker that starts anew when its program changes.

The worker is a child of its own, because no import of Python is ever quite undone. It is told to
end as by Ctrl-C, with little grace, and what it gives back the next one performs.
"""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from spoolq.cli.output import say
from spoolq.loop.signals import Signals
from spoolq.runners.waiting import wait_for_exit

LOOK: Final = 0.5  # seconds between two looks at the program's files
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "venv", ".venv"})


def supervise(arguments: Sequence[str], directory: str) -> int:
    """Run `spoolq ARGUMENTS` again and again as files below `directory` change.

    The exit code: that of the worker, once it has ended by itself or was told to end.
    """
    with Signals((signals.SIGINT, signals.SIGTERM, signals.SIGQUIT, signals.SIGHUP)) as caught:
        while True:
            seen = dict(_modules(directory))
            # -B: two changes within a second that keep its size would leave compiled code that is
            # old and passes for new.
            child = subprocess.Popen([sys.executable, "-B", "-m", "spoolq", *arguments])  # noqa: S603
            changed = _watch(child, caught, seen, directory)
            if changed is None:
                return child.wait()
            say(f"spoolq: {changed} has changed: starting anew")
            child.send_signal(signals.SIGTERM)
            child.wait()


def _watch(
    child: subprocess.Popen[bytes], caught: Signals, seen: dict[str, int], directory: str
) -> str | None:
    """The file that has changed; None when the worker has ended."""
    while child.poll() is None:
        wait_for_exit([child.pid], LOOK)
        for number in caught.take():
            child.send_signal(number)
        now = dict(_modules(directory))
        changed = [path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path)]
        if changed:
            return min(changed)
    return None


def _modules(directory: str) -> Iterator[tuple[str, int]]:
    """Every Python file below a directory, and when it last changed."""
    for parent, directories, names in os.walk(directory):
        directories[:] = [d for d in directories if d not in _SKIPPED and not d.startswith(".")]
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(parent, name)
                try:
                    yield path, os.stat(path).st_mtime_ns
                except OSError:
                    continue  # RACE: an editor is replacing it
