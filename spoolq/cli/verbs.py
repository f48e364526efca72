"""What is said of a verb that nobody knows: what it is called here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spoolq.executables import find_executable
from spoolq.selection import did_you_mean

ELSEWHERE: Final = {
    "broadcast": "job -b COMMAND",
    "cancel": "remove, or kill if it runs",
    "cat": "logs",
    "delete": "remove",
    "fo": "logs -f",
    "follow": "logs -f",
    "foreground": "job -f ID",
    "gc": "repair",
    "group": "queue",
    "history": "job -H",
    "log": "logs",
    "parallel": "queue set NAME --limit N",
    "prune": "clean",
    "queues": "queue",
    "re": "retry",
    "restart": "retry",
    "run": "add, then process",
    "schedules": "schedule",
    "send": "add --stdin",
    "start": "release, or resume if it is paused",
    "stash": "hold",
    "status": "list",
    "submit": "add, or enqueue",
    "swap": "edit -p N ID",
    "tail": "logs -f",
    "tasks": "job -T",
    "urgent": "edit -p 1000 ID",
    "work": "worker",
}
"""What other queues, and people, call it: the verb of ours."""


def unknown(verb: str, known: Iterable[str], root: str) -> str:
    """The words for a verb that there is not."""
    verbs = sorted(known)
    advice = (
        f"; write: spoolq {ELSEWHERE[verb]}" if verb in ELSEWHERE else did_you_mean(verb, verbs)
    )
    try:
        is_task = find_executable(root, verb) is not None
    except (OSError, ValueError):
        is_task = False
    if is_task:
        advice = f"; the task: spoolq enqueue {verb} …"
    return f"there is no verb {verb!r}{advice or '; spoolq --help lists them'}"
