"""A spool in a Starlette application: in its state, with a worker beside it if that is wanted.

app = Starlette(routes=[...], lifespan=lifespan(spool, worker="shop.tasks:spool"))

async def order(request):
    job = await confirm.aenqueue(7)     # a task of the spool; or
    job = request.state.spool.job(17)   # the spool itself
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from spoolq.contrib.beside import worker_beside
from spoolq.errors import InvalidValue
from spoolq.spool import Spool

State = Mapping[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[State]]
Other = Callable[[Any], AbstractAsyncContextManager[State | None]]


def lifespan(
    spool: Spool,
    *,
    worker: str | None = None,
    jobs: int = 4,
    queues: Sequence[str] = ("default",),
    inner: Other | None = None,
) -> Lifespan:
    """The `lifespan=` of an application with this spool as `request.state.spool`.

    `worker` is what `spoolq worker --app` takes, the place of this very spool: with it a worker
    runs beside the server, `jobs` at once, for these queues (see `spoolq.contrib.beside`). `inner`
    is the application's own lifespan, whose state is joined with this one. Raises InvalidValue for
    a worker of a spool in memory, which no other process can reach.
    """
    root = spool.root
    if worker is not None and root is None:
        raise InvalidValue("a spool in memory has no worker beside it: no process can reach it")
    words = ["--jobs", str(jobs), *(word for queue in queues for word in ("--queue", queue))]

    @contextlib.asynccontextmanager
    async def live(app: Any) -> AsyncIterator[State]:
        async with contextlib.AsyncExitStack() as stack:
            if worker is not None and root is not None:
                await stack.enter_async_context(worker_beside(root, worker, words))
            state = None if inner is None else await stack.enter_async_context(inner(app))
            yield {**(state or {}), "spool": spool}

    return live
