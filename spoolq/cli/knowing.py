"""Which tasks are known here: a name that is nearly one of them is a mistake.

Loaded by `spoolq enqueue`: see `grammar`.
"""

from __future__ import annotations

import json
import os

from spoolq.cli.exits import NOT_FOUND, Refused
from spoolq.executables import EXEC, executable_tasks, find_executable

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any


def refuse_typo(root: str, task: str) -> None:
    """Raise Refused for a task that nobody knows and whose name is close to one that is known.

    Any other name is let pass: its worker, or its executable, may come later. So is everything
    while a worker is there that does not say which tasks it knows.
    """
    if task == EXEC or find_executable(root, task):
        return
    known = executable_tasks(root)
    for status in _statuses(root):
        tasks = status.get("tasks")
        if not isinstance(tasks, list):
            return
        known |= {name for name in tasks if isinstance(name, str)}
    known.discard(EXEC)
    if task in known or not known:
        return
    from difflib import get_close_matches  # 5 ms, for who may have made a mistake

    close = get_close_matches(task, sorted(known), n=1)
    if close:
        from spoolq.cli.output import escape

        raise Refused(
            NOT_FOUND,
            f"no task named {task!r}; did you mean {close[0]!r}? Known here: "
            f"{', '.join(map(escape, sorted(known)))}. For a task that is yet to come: "
            "spoolq enqueue --no-check …",
        )


def _statuses(root: str) -> list[dict[str, Any]]:
    """What the registered workers say of themselves."""
    found = []
    for name in os.listdir(f"{root}/workers"):
        if ".status." in name:
            try:
                with open(f"{root}/workers/{name}", encoding="utf-8") as file:
                    value = json.load(file)
            except (OSError, ValueError):
                continue  # RACE: a newer one has taken its place
            found.append(value if isinstance(value, dict) else {})
    return found
