"""Getting done what is due: `process`, the command of cron lines and timers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spoolq.cli.exits import BY_SIGNAL, NO
from spoolq.cli.output import print_json
from spoolq.cli.values import at_least
from spoolq.process import process as process_spool

if TYPE_CHECKING:
    from spoolq.cli.context import Opened


def process(opened: Opened, values: dict[str, Any], _: list[str]) -> int:
    """`spoolq process`: the exit code."""
    done = process_spool(
        opened.spool,
        jobs=at_least(1, values, "jobs", "--jobs") or 1,
        queues=values.get("queues") or ("default",),
        limit=at_least(0, values, "limit", "--limit"),
    )
    if values.get("as_json"):
        print_json({"performed": done.performed, "failed": done.failed})
    if done.signal is not None:
        return BY_SIGNAL + done.signal
    return NO if values.get("fail") and done.failed else 0
