"""Which tasks the executables in `jobs/` perform: names, without what it takes to run them."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

    from spoolq.clock import Clock

MOMENT: Final = 1.0  # seconds that the place of an executable is remembered
MOST: Final = 1000  # places that are remembered
EXEC: Final = "exec"
"""The task of a command line; an executable of this name is never run."""


def find_executable(root: str, task: str) -> str | None:
    """The path of the executable for a task: `jobs/NAME.job`, else `jobs/NAME`, else None."""
    if not task or "/" in task or "\0" in task or task.startswith("."):
        return None
    for path in (f"{root}/jobs/{task}.job", f"{root}/jobs/{task}"):
        if _is_program(path):
            return path
    return None


def _is_program(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return False
    # A link to nothing counts: its job fails and says so, instead of waiting in silence.
    return not (os.path.isdir(path) if stat.S_ISLNK(mode) else stat.S_ISDIR(mode))


class Programs:
    """Where executables are, remembered for a moment: each look is a system call or two at every
    start. What is not there is looked for anew.
    """

    def __init__(self, root: str, clock: Clock) -> None:
        """Of the spool at `root`."""
        self._root = root
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    def find(self, task: str) -> str | None:
        """The path of the executable for a task, as `find_executable` has said lately."""
        until, path = self._known.get(task, (0.0, ""))
        now = self._clock.elapsed()
        if now < until:
            return path
        found = find_executable(self._root, task)
        if found is not None:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[task] = (now + MOMENT, found)
        return found


def executable_tasks(root: str) -> set[str]:
    """The tasks that executables in `jobs/` perform, `exec` among them."""
    tasks = {EXEC}
    try:
        with os.scandir(f"{root}/jobs") as entries:
            for entry in entries:
                if not entry.name.startswith(".") and not entry.is_dir():
                    tasks |= {entry.name, entry.name.removesuffix(".job")}
    except FileNotFoundError:
        pass
    return {task for task in tasks if task}
