"""Named locks from the shell: `lock`, `unlock`, `locks`.

`lock NAME -- CMD` is flock and sem over hosts: a lease that is renewed while the command runs. The
command cannot outlive the process that renews it: the system kills it with that process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import (
    BY_SIGNAL,
    CANNOT_RUN,
    CONFLICT,
    FAILED_ITSELF,
    NO_PROGRAM,
    NOT_FOUND,
    TIMED_OUT,
    USAGE,
    Refused,
)
from spoolq.cli.formats import Listing, chosen, hint
from spoolq.cli.output import escape, iso, print_json, say
from spoolq.cli.tables import Column
from spoolq.clock import SystemClock
from spoolq.errors import SpoolUnavailable
from spoolq.model import LockInfo
from spoolq.why import age

TTL: Final = "30s"
_POLL: Final = (0.02, 0.5)  # seconds between two tries: the first, the longest
_PDEATHSIG: Final = 1
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(context_settings={"allow_interspersed_args": False})(lock)
    app.command()(unlock)
    app.command()(locks)


def lock(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="So many may hold it.")] = 1,
    ttl: Annotated[
        str | None,
        typer.Option("--ttl", metavar="DURATION", help=f"Gone that long after a crash. [{TTL}]"),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", "-n", help="Exit 4 when it is held.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="Wait no longer; then exit 124."),
    ] = None,
    as_json: options.AsJson = False,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    words: Annotated[list[str] | None, typer.Argument(metavar="CMD…")] = None,
) -> None:
    """Run a command while holding a lock, and exit with its exit code.

    Without a command the lock is taken for --ttl, exit 4 when it is held, and its id printed:
    `spoolq unlock NAME` lets go of it.
    """
    behind, command = _behind_the_name(words or [])
    limit, ttl = behind.limit or limit, behind.ttl or ttl
    no_wait, timeout = behind.no_wait or no_wait, behind.timeout or timeout
    seconds = parse_duration(ttl or TTL)
    if seconds <= 0:
        raise Refused(USAGE, f"--ttl {ttl}: a lock for no time locks nothing")
    backend = opened(context).spool.backend
    if not command:
        if ttl is None:
            raise Refused(USAGE, "what should run? spoolq lock NAME -- CMD…, or --ttl DURATION")
        hold = backend.acquire_lock(name, seconds, limit=limit)
        if hold is None:
            raise Refused(CONFLICT, f"lock {escape(name)} is held; spoolq locks")
        print_json({"id": hold, "name": name}) if as_json else print(hold)
        return
    most = 0.0 if no_wait else None if timeout is None else parse_duration(timeout)
    hold = _acquire(backend, name, seconds, limit, most)
    if hold is None:
        raise Refused(
            CONFLICT if no_wait else TIMED_OUT, f"lock {escape(name)} is held; spoolq locks"
        )
    try:
        code = _run(command, lambda: backend.renew_lock(name, hold, seconds), seconds)
    finally:
        with suppress(SpoolUnavailable):  # it expires by itself
            backend.unlock(name, id=hold)
    raise typer.Exit(code)


def unlock(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    hold: Annotated[
        int | None, typer.Option("--id", metavar="ID", help="This hold, as `locks` shows it.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Let go of a lock, whoever holds it: of the hold that expires first. Exit 3: there is none."""
    if not opened(context).spool.backend.unlock(name, id=hold):
        raise Refused(NOT_FOUND, f"lock {escape(name)} is not held")
    if as_json:
        print_json({"name": name, "released": True})


def locks(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…")] = None,
    output: options.Output = None,
    no_header: options.NoHeader = False,
    as_json: options.AsJson = False,
) -> None:
    """List the locks that are held, one line a holder."""
    form = chosen(output, as_json=as_json)
    backend = opened(context).spool.backend
    held: list[LockInfo] = backend.list_locks(0, 10**9, names=names or None).rows
    now = backend.now()
    Listing(
        (Column("ID"), Column("NAME", least=8), Column("EXPIRES")),
        lambda: [[str(one.id), escape(one.name), f"in {age(one.expires - now)}"] for one in held],
        ("ID", "NAME", "EXPIRES"),
        lambda: [[str(one.id), escape(one.name), iso(one.expires)] for one in held],
        lambda: [
            {
                "id": one.id,
                "name": one.name,
                "expires": one.expires,
                "expires_at": iso(one.expires),
            }
            for one in held
        ],
        lambda: [str(one.id) for one in held],
    ).print(form, header=not no_header)


@dataclass
class _Behind:
    """The options of `lock` that stand between its name and its command."""

    limit: int | None = None
    ttl: str | None = None
    timeout: str | None = None
    no_wait: bool = False


def _behind_the_name(words: Sequence[str]) -> tuple[_Behind, list[str]]:
    """`lock NAME --limit 2 -- CMD`: Typer leaves everything behind the name to the command."""
    left, found = list(words), _Behind()
    while left and left[0].startswith("-"):
        option, equals, value = left.pop(0).partition("=")
        if option == "--":
            break
        if option in ("-n", "--no-wait"):
            found.no_wait = True
            continue
        if option not in ("-l", "--limit", "--ttl", "--timeout"):
            raise Refused(USAGE, f"no such option: {option}; spoolq lock NAME [OPTIONS] -- CMD…")
        if not equals and not left:
            raise Refused(USAGE, f"{option} needs a value")
        value = value if equals else left.pop(0)
        if option in ("-l", "--limit"):
            if not (value.isascii() and value.isdigit() and int(value)):
                raise Refused(USAGE, f"{option} {value}: at least one may hold a lock")
            found.limit = int(value)
        else:
            setattr(found, option.removeprefix("--"), value)
    return found, left


def _acquire(
    backend: Backend, name: str, seconds: float, limit: int, most: float | None
) -> int | None:
    """The id of a hold, waiting up to `most` seconds for it; None when the time was up."""
    clock, pause = SystemClock(), _POLL[0]
    until = None if most is None else clock.elapsed() + most
    told = False
    while True:
        hold = backend.acquire_lock(name, seconds, limit=limit)
        if hold is not None:
            return hold
        left = None if until is None else until - clock.elapsed()
        if left is not None and left <= 0:
            return None
        if not told:
            hint(f"waiting for lock {escape(name)}")
            told = True
        clock.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _POLL[1])


def _run(command: Sequence[str], renew: Callable[[], bool], ttl: float) -> int:
    """Run a command to its end; its exit code as a shell would see it."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def die_with_us() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # RACE: we were killed before the line above
            os._exit(BY_SIGNAL + signal.SIGKILL)

    # RACE: a signal that came before it can be passed on would end us, and the command with us.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        child = subprocess.Popen(command, preexec_fn=die_with_us)  # noqa: PLW1509, S603  # one thread
    except FileNotFoundError:
        say(f"spoolq: {escape(command[0])}: no such program")
        return NO_PROGRAM
    except OSError as error:
        say(f"spoolq: {escape(command[0])}: {error.strerror}")
        return CANNOT_RUN

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    # Ctrl-C reaches the command too, which may have more to say about it than we.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _renewed(child, renew, ttl)


def _renewed(child: subprocess.Popen[bytes], renew: Callable[[], bool], ttl: float) -> int:
    """Wait for the command, renewing the lock three times while it would last."""
    clock = SystemClock()
    until = clock.elapsed() + ttl
    while True:
        with suppress(subprocess.TimeoutExpired):
            code = child.wait(ttl / 3)
            return code if code >= 0 else BY_SIGNAL - code
        held = clock.elapsed() < until
        with suppress(SpoolUnavailable):  # as long as it lasts, the next try may do
            began = clock.elapsed()
            held = renew()
            until = began + ttl
        if not held:
            say("spoolq: the lock was lost: it was released, or could not be renewed in time")
            child.kill()
            child.wait()
            return FAILED_ITSELF
