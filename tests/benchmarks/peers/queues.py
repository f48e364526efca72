"""Queues for Python beside spoolq: one process puts, then takes, acknowledges and stores a result
where the queue has results. Each as its documentation shows it, with its own default of durability.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from tests.benchmarks.measure import Step, alternate, per_second
from tests.benchmarks.report import Row, compared
from tests.benchmarks.setting import FULL, NONE, Setting


class Queue(Protocol):
    """What each of them can do."""

    def put(self, number: int) -> object:
        """Store one job."""

    def take(self) -> object:
        """Get one job and settle it."""


class Ours:
    """spoolq."""

    def __init__(self, setting: Setting, name: str, durability: str) -> None:
        self._backend = setting.backend(name, durability)
        self._worker = self._backend.register_worker()

    def put(self, number: int) -> object:
        return self._backend.enqueue("foo", [number])

    def take(self) -> object:
        claimed = self._backend.dequeue(self._worker)
        assert claimed is not None
        return self._backend.finish_job(claimed["id"], claimed["retries"], claimed["args"][0])


class Huey:
    """huey: the task is called, its result is stored."""

    def __init__(self, kind: str, **options: str) -> None:
        self._huey = getattr(import_module("huey"), kind)("bench", **options)
        self._task = self._huey.task()(same)

    def put(self, number: int) -> object:
        return self._task(number)

    def take(self) -> object:
        return self._huey.execute(self._huey.dequeue())


class Dirq:
    """dirq.QueueSimple: lock, read, remove; no results."""

    def __init__(self, root: str) -> None:
        self._queue = import_module("dirq.QueueSimple").QueueSimple(root)
        self._names: Iterator[str] = iter(())

    def put(self, number: int) -> object:
        return self._queue.add(str(number))

    def take(self) -> object:
        name = next(self._names, None)
        if name is None:
            self._names = iter(self._queue)
            name = next(self._names)
        assert self._queue.lock(name)
        content = self._queue.get(name)
        self._queue.remove(name)
        return content


class LiteQueue:
    """litequeue: pop and done; no results."""

    def __init__(self, path: str) -> None:
        self._queue = import_module("litequeue").LiteQueue(path)

    def put(self, number: int) -> object:
        return self._queue.put(str(number))

    def take(self) -> object:
        return self._queue.done(self._queue.pop().message_id)


class PersistQueue:
    """persist-queue's SQLiteAckQueue: get and ack; no results."""

    def __init__(self, path: str) -> None:
        self._queue = import_module("persistqueue").SQLiteAckQueue(path)

    def put(self, number: int) -> object:
        return self._queue.put(number)

    def take(self) -> object:
        return self._queue.ack(self._queue.get(block=False))


class Rq:
    """rq on a Redis of its own, performed in the worker's process instead of a fork for each."""

    def __init__(self, socket: str) -> None:
        logging.getLogger("rq.worker").setLevel(logging.WARNING)
        rq, redis = import_module("rq"), import_module("redis")
        self._redis = redis.Redis(unix_socket_path=socket)
        self._queue = rq.Queue(connection=self._redis)
        self._worker = rq.SimpleWorker([self._queue], connection=self._redis)

    def put(self, number: int) -> object:
        return self._queue.enqueue(same, number)

    def take_all(self) -> object:
        """rq's worker has no way to take one job without starting up anew."""
        return self._worker.work(burst=True, logging_level="WARNING")


def same(number: int) -> int:
    """The task."""
    return number


@dataclass(frozen=True, slots=True)
class Peer:
    """One queue: what it needs, and whether what it acknowledges survives power loss."""

    module: str
    durable: bool
    make: Callable[[str], Queue | Rq]


PEERS: Mapping[str, Peer] = {
    # SQLite's default, synchronous=FULL, syncs the log at each commit; litequeue lowers it.
    "huey on SQLite": Peer(
        "huey", True, lambda root: Huey("SqliteHuey", filename=f"{root}/huey.db")
    ),
    "huey on files": Peer("huey", False, lambda root: Huey("FileHuey", path=f"{root}/huey")),
    "dirq": Peer("dirq", False, lambda root: Dirq(f"{root}/dirq")),
    "litequeue": Peer("litequeue", False, lambda root: LiteQueue(f"{root}/litequeue.db")),
    "persist-queue": Peer("persistqueue", True, lambda root: PersistQueue(f"{root}/persist")),
    "rq": Peer("rq", False, lambda root: Rq(f"{root}/redis.sock")),
}


def queues(setting: Setting, note: Callable[[str], None]) -> list[Row]:
    """Put and take beside each queue that is installed; `note` is told about the others."""
    rows: list[Row] = []
    for name, peer in PEERS.items():
        if find_spec(peer.module) is None:
            note(f"{name} is not installed")
        elif name == "rq" and shutil.which("redis-server") is None:
            note("redis-server is not installed: rq left out")
        else:
            rows += _beside(setting, name, peer)
    return rows


def _beside(setting: Setting, name: str, peer: Peer) -> list[Row]:
    root = setting.path(name.replace(" ", "-"))
    os.mkdir(root)
    durability = FULL if peer.durable else NONE
    count = setting.pick(1000, 200)
    ours = Ours(setting, f"beside-{os.path.basename(root)}", durability)
    with _redis(root) if name == "rq" else _nothing():
        theirs = peer.make(root)
        steps: dict[str, Step] = {
            "put": partial(_puts, ours, count),
            f"put {name}": partial(_puts, theirs, count),
            "take": partial(_takes, ours, count),
            f"take {name}": partial(_takes, theirs, count),
        }
        flush = setting.flush if peer.durable else None
        rates = alternate(setting.pick(5, 3), steps, between=flush)
    return [
        compared(f"{phase}, durability {durability}", rates[key], name, rates[f"{key} {name}"])
        for phase, key in (("enqueue", "put"), ("dequeue+finish, 1 process", "take"))
    ]


def _puts(queue: Queue | Rq, count: int) -> float:
    return per_second(count, lambda: [queue.put(number) for number in range(count)])


def _takes(queue: Queue | Rq, count: int) -> float:
    if isinstance(queue, Rq):
        return per_second(count, queue.take_all)
    return per_second(count, lambda: [queue.take() for _ in range(count)])


@contextmanager
def _redis(root: str) -> Iterator[None]:
    """A Redis server with its default settings on a socket in `root`."""
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--dir", root],
        cwd=root,
        stdout=subprocess.DEVNULL,
    )
    try:
        client = import_module("redis").Redis(unix_socket_path=f"{root}/redis.sock")
        retry = import_module("redis.retry")
        backoff = import_module("redis.backoff")
        client.set_retry(retry.Retry(backoff.ConstantBackoff(0.05), 200))
        client.ping()
        client.close()
        yield
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def note_on_stderr(text: str) -> None:
    """Say what is left out."""
    print(f"  {text}", file=sys.stderr)
