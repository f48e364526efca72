"""`TASKS[alias]["OPTIONS"]`: what can be said of a backend, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spoolq.errors import SpoolError
from spoolq.root import default_root
from spoolq.selection import did_you_mean
from spoolq.settings import check_durability
from spoolq.transitions import check_attempts, check_queue, check_timeout

NAMES: Final = ("ROOT", "DURABILITY", "ATTEMPTS", "TIMEOUT", "ENQUEUE_ON_COMMIT")


@dataclass(frozen=True, slots=True)
class Options:
    """What a backend does where a task says nothing else."""

    root: str
    """The directory of the spool, absolute; by default what `Spool()` opens."""
    durability: str | None = None
    attempts: int = 1
    timeout: float | None = None
    """Seconds that an attempt may take."""
    enqueue_on_commit: bool = False


def parse(params: Mapping[str, Any]) -> Options:
    """The options of one entry of `TASKS`. What is wrong in them `problems` says, not this."""
    given = dict(params.get("OPTIONS") or {})
    # Before Django 6.0 was out it was a setting of its own, beside QUEUES.
    on_commit = given.get("ENQUEUE_ON_COMMIT", params.get("ENQUEUE_ON_COMMIT", False))
    return Options(
        root=os.path.abspath(os.fspath(given.get("ROOT") or default_root())),
        durability=given.get("DURABILITY"),
        attempts=given.get("ATTEMPTS", 1),
        timeout=given.get("TIMEOUT"),
        enqueue_on_commit=bool(on_commit),
    )


def problems(params: Mapping[str, Any], options: Options) -> Iterator[str]:
    """Everything that is wrong with an entry of `TASKS`, a sentence each."""
    for name in params.get("OPTIONS") or {}:
        if name not in NAMES:
            known = ", ".join(NAMES)
            yield f"there is no option {name!r}{did_you_mean(str(name), NAMES)} (there are {known})"
    root = (params.get("OPTIONS") or {}).get("ROOT")
    if root is not None and not os.path.isabs(root):
        yield f"ROOT {str(root)!r} is another directory in every process: say all of it"
    for queue in params.get("QUEUES") or ():
        yield from _refused(check_queue, queue)
    yield from _refused(check_attempts, options.attempts)
    if options.timeout is not None:
        yield from _refused(check_timeout, options.timeout)
    if options.durability is not None:
        yield from _refused(check_durability, options.durability)


def _refused(check: Any, *values: Any) -> Iterator[str]:
    try:
        check(*values)
    except SpoolError as error:
        yield str(error)
