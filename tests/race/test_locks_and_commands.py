"""Locks, commands and counters in the hands of many processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.race.conftest import OpenSpool
from tests.race.crowd import Child, at_once, flat


@pytest.mark.minion(182)
def test_a_lock_with_a_limit_is_granted_that_often_and_no_more(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def acquire() -> int:
        mine = open_spool()
        return sum(mine.lock("foo", 3600, limit=5) for _ in range(5))

    assert sum(at_once(*[acquire] * 8)) == 5
    assert files.list_locks(names=["foo"]).total == 5


@pytest.mark.parametrize("limit", [1, 3])
def test_never_more_than_the_limit_hold_a_lock_at_once(
    files: FileBackend, open_spool: OpenSpool, root: Path, limit: int
) -> None:
    inside = root.parent / "inside"
    inside.mkdir()

    def enter_and_leave() -> list[int]:
        mine = open_spool()
        crowds: list[int] = []
        while len(crowds) < 60:
            hold = mine.acquire_lock("door", 60, limit=limit)
            if hold:
                me = inside / str(os.getpid())
                me.touch()
                crowds.append(len(list(inside.iterdir())))
                me.unlink()
                assert mine.unlock("door", id=hold)
        return crowds

    crowds = flat(at_once(*[enter_and_leave] * 4))

    assert max(crowds) <= limit
    assert files.list_locks().total == 0


def test_holds_have_distinct_numbers_and_each_is_released_once(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def take() -> list[int]:
        mine = open_spool()
        return [mine.acquire_lock(name, 60, limit=500) or 0 for name in ["a", "b"] * 25]

    holds = flat(at_once(*[take] * 4))
    assert len({*holds}) == 200
    assert files.list_locks().total == 200

    def release() -> int:
        mine = open_spool()
        return sum(mine.unlock("a") + mine.unlock("b") for _ in range(60))

    assert sum(at_once(*[release] * 4)) == 200
    assert files.list_locks().total == 0


@pytest.mark.minion(292)
def test_commands_are_all_received_in_the_order_of_each_sender(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    worker = files.register_worker()

    def send(name: str) -> list[bool]:
        mine = open_spool()
        return [mine.broadcast("say", [name, number], [worker]) for number in range(50)]

    def beat() -> None:
        mine = open_spool()
        while not (root.parent / "enough").exists():
            mine.register_worker(worker, status={"jobs": 4})

    def receive() -> list[Any]:
        mine = open_spool()
        received: list[Any] = []
        while len(received) < 200:
            received += mine.receive(worker)
        return received

    beating = Child(beat)
    receiver = Child(receive)
    sent = at_once(*[lambda name=name: send(name) for name in "abcd"])
    received = receiver.answer()
    (root.parent / "enough").touch()
    beating.answer()

    assert all(flat(sent))
    for name in "abcd":
        assert [number for _, who, number in received if who == name] == list(range(50))
    assert files.receive(worker) == []


def test_of_two_who_receive_each_command_reaches_one(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    worker = files.register_worker()
    for number in range(200):
        files.broadcast("say", [number])

    def receive() -> list[Any]:
        mine = open_spool()
        return [command for _ in range(20) for command in mine.receive(worker)]

    received = flat(at_once(receive, receive, receive))
    assert sorted(number for _, number in received) == list(range(200))


def test_heartbeats_from_many_processes_leave_one_registration(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    worker = files.register_worker()

    def beat() -> list[int]:
        mine = open_spool()
        return [mine.register_worker(worker, status={"n": number}) for number in range(50)]

    assert set(flat(at_once(*[beat] * 3))) == {worker}
    assert files.list_workers().total == 1
    assert len([path for path in (root / "workers").iterdir() if ".status." not in path.name]) == 1


def test_workers_that_register_at_once_have_distinct_numbers(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def register() -> list[int]:
        mine = open_spool()
        return [mine.register_worker() for _ in range(20)]

    assert sorted(flat(at_once(*[register] * 4))) == list(range(1, 81))
    assert files.list_workers().total == 80
