"""A worker beside a server: a process of its own that lives as long as the server does.

For development and for small sites: what is a service of its own is better started as one
(docs/systemd.md), and a server of several processes would start as many workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Final

from spoolq.cli import main
from spoolq.runners.child import PDEATHSIG, prctl

AGAIN: Final = 5.0  # seconds until another one starts in place of one that has ended
USAGE: Final = 2  # the exit code of a command line that is wrong: the next would be as wrong
GRACE: Final = 30.0  # seconds that running jobs are given, as `spoolq worker` does
PATIENCE: Final = GRACE + 10  # seconds until a worker that was told to end is killed

log = logging.getLogger("spoolq")


@contextlib.asynccontextmanager
async def worker_beside(root: str, app: str, words: Sequence[str] = ()) -> AsyncIterator[None]:
    """While inside, `spoolq --root ROOT worker --app APP …` runs; another when it has ended.

    At the end running jobs are given `GRACE` to end in. A server that dies at once takes the
    worker with it.
    """
    line = ["--root", root, "worker", "--app", app, "--grace", f"{GRACE:g}s", *words]
    keeping = asyncio.create_task(_keep(line))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _keep(line: Sequence[str]) -> None:
    command = [sys.executable, "-m", "spoolq.contrib.beside", str(os.getpid()), *line]
    while True:
        process = await asyncio.create_subprocess_exec(
            # A session of its own: the Ctrl-C that ends the server asks it once, through us.
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        if code == USAGE:
            log.error("the worker beside this server could not start, and nobody performs its jobs")
            return
        log.error("the worker beside this server has ended (%d); another one starts", code)
        await asyncio.sleep(AGAIN)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


def _run(server: int, line: Sequence[str]) -> None:
    """In the new process: be told when the server dies, then be `spoolq`."""
    prctl()(PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != server:  # RACE: it died before anybody would have told us
        return
    sys.argv = ["spoolq", *line]
    main()


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2:])
