"""A personal spool serves itself: `add` starts a worker when nobody serves the queue.

The worker (`attending`) is detached and leaves when there is nothing left to do. Whoever adds a
job stores it first and looks for somebody then; the worker that leaves lets go of its lock first
and looks for jobs then. At least one of the two sees the other.

SPOOLQ_AUTOSTART=never turns it off.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys

from spoolq.files.fs import boot_id
from spoolq.files.names import encode

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

    from spoolq.cli.context import Opened

VARIABLE: Final = "SPOOLQ_AUTOSTART"
NEVER: Final = "never"
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def ensure_served(opened: Opened, queue: str) -> bool:
    """After a job was stored: see to it that somebody takes it, or say that nobody will.

    True when a worker was started, or one that was started before is still there.
    """
    if os.environ.get(VARIABLE) == NEVER:
        return False
    producer = opened.producer
    root = producer.root
    own = producer.settings.mode == "single" and os.stat(root).st_uid == os.geteuid()
    if own and is_attended(root, queue):
        return True
    if is_served(root, queue, producer.now()):
        return False
    if own:
        return _start(root, queue)
    from spoolq.cli.output import escape, hints, say

    if hints():
        return False  # and is told so, with all the rest
    name = escape(queue)
    say(f"spoolq: nobody serves queue {name} now: spoolq worker -q {name}, or cron")
    return False


def lock_path(root: str, queue: str) -> str:
    """The lock that the worker holds which was started for this queue."""
    return f"{root}/reserve/attendant.{encode(queue)}.lock"


def is_attended(root: str, queue: str) -> bool:
    """Whether a worker that was started for this queue is there."""
    fd = os.open(lock_path(root, queue), _OPEN, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # RACE: or another `add` asks the same. Then that one starts a worker, after our job.
        return True
    finally:
        os.close(fd)
    return False


def is_served(root: str, queue: str, now: float) -> bool:
    """Whether a worker that is not known to be gone has said that it serves this queue."""
    return bool(serving(root, queue, now))


def serving(root: str, queue: str, now: float) -> list[dict[str, Any]]:
    """What the workers say of themselves that serve this queue and are not known to be gone."""
    names, found = os.listdir(f"{root}/workers"), []
    for name in names:
        worker, _, rest = name.partition(".")
        if rest.startswith("status."):
            status = _read(root, name)
            if queue in status.get("queues", ()) and any(
                other.split(".")[0] == worker and other.count(".") == 2 and _lives(root, other, now)
                for other in names
            ):
                found.append(status)
    return found


def _lives(root: str, registration: str, now: float) -> bool:
    from spoolq.states import MISSING_AFTER

    notified = int(registration.rpartition(".")[2]) / 1_000_000
    about = _read(root, registration)
    if about.get("boot") == boot_id() and not os.path.exists(f"/proc/{about.get('pid')}"):
        return False
    return now - notified < MISSING_AFTER


def _read(root: str, name: str) -> dict[str, Any]:
    try:
        with open(f"{root}/workers/{name}", encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}  # RACE: a heartbeat or a newer status has taken its place
    return value if isinstance(value, dict) else {}


def _start(root: str, queue: str) -> bool:
    """Start `attending` apart from this process: no terminal, no open file, no directory of it."""
    null = os.open(os.devnull, os.O_RDWR)
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
    # What the shell has left open, a lock of `flock` perhaps, must not live as long as the worker.
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()]
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPOOLQ_")}
    if "SPOOLQ_DURABILITY" in os.environ:
        env["SPOOLQ_DURABILITY"] = os.environ["SPOOLQ_DURABILITY"]
    # -P: nothing is imported from the directory that somebody happens to be in.
    words = [sys.executable, "-P", "-m", "spoolq.cli.attending", root, queue]
    try:
        os.posix_spawn(sys.executable, words, env, file_actions=actions, setsid=True)
    except OSError as error:
        from spoolq.cli.output import say

        say(f"spoolq: no worker could be started: {error.strerror}; run: spoolq process")
        return False
    finally:
        os.close(null)
    return True


def _inherited() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            continue  # that of the listing itself
    return found
