"""Commands for workers: once each, in order [288-293]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from tests.support import FakeClock


@pytest.mark.minion(288)
def test_a_broadcast_says_whether_anybody_received_it(backend: Backend) -> None:
    assert backend.broadcast("foo") is False
    worker = backend.register_worker()

    assert backend.broadcast("foo") is True
    assert backend.broadcast("foo", [], [4711]) is False
    assert backend.broadcast("foo", [], [4711, worker]) is True
    backend.unregister_worker(worker)
    assert backend.broadcast("foo") is False


@pytest.mark.minion(289)
def test_without_ids_a_broadcast_goes_to_all_that_are_registered_now(backend: Backend) -> None:
    workers = [backend.register_worker() for _ in range(3)]

    backend.broadcast("foo")
    backend.broadcast("bar", [], [])
    later = backend.register_worker()

    assert [backend.receive(worker) for worker in workers] == [[["foo"], ["bar"]]] * 3
    assert backend.receive(later) == []


@pytest.mark.minion(289)
def test_with_ids_a_broadcast_goes_to_those_once(backend: Backend) -> None:
    first, second, third = (backend.register_worker() for _ in range(3))

    backend.broadcast("foo", [], [second, str(third), second])

    assert backend.receive(first) == []
    assert backend.receive(second) == [["foo"]]
    assert backend.receive(third) == [["foo"]]


@pytest.mark.minion(290)
def test_commands_arrive_in_order_with_their_arguments(backend: Backend, worker: int) -> None:
    backend.broadcast("foo", [1, [2], {"3": "three"}])
    backend.broadcast("bar", ("grün", None))
    backend.broadcast("foo")

    assert backend.receive(worker) == [
        ["foo", 1, [2], {"3": "three"}],
        ["bar", "grün", None],
        ["foo"],
    ]


def test_many_commands_stay_in_order(backend: Backend, worker: int) -> None:
    for number in range(30):
        backend.broadcast("count", [number])

    assert backend.receive(worker) == [["count", number] for number in range(30)]


@pytest.mark.minion(291)
def test_commands_are_received_once(backend: Backend, worker: int) -> None:
    backend.broadcast("foo")

    assert backend.receive(worker) == [["foo"]]
    assert backend.receive(worker) == []
    assert backend.receive(4711) == []


@pytest.mark.minion(293)
def test_a_heartbeat_leaves_the_inbox_alone(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    backend.broadcast("foo")
    clock.advance(10)

    backend.register_worker(worker, status={"a": 1})

    assert backend.receive(worker) == [["foo"]]


def test_a_worker_that_unregistered_receives_nothing(backend: Backend, worker: int) -> None:
    backend.broadcast("foo")

    backend.unregister_worker(worker)

    assert backend.receive(worker) == []


def test_what_the_sender_changes_afterwards_does_not_reach_the_worker(
    backend: Backend, worker: int
) -> None:
    args: list[Any] = [[1]]
    backend.broadcast("foo", args)

    args[0].append(2)

    assert backend.receive(worker) == [["foo", [1]]]


@pytest.mark.parametrize("command", ["", "a/b", "two\nlines", "🦀", "c" * 1000])
def test_any_string_is_a_command(backend: Backend, worker: int, command: str) -> None:
    backend.broadcast(command)

    assert backend.receive(worker) == [[command]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((5,), InvalidType),
        (("foo", "text"), InvalidType),
        (("foo", {"a": 1}), InvalidType),
        (("foo", [b"bytes"]), InvalidType),
        (("foo", [float("nan")]), InvalidValue),
        (("foo", [], ["abc"]), InvalidValue),
        (("foo", [], 5), InvalidType),
    ],
    ids=repr,
)
def test_a_wrong_command_reaches_nobody(
    backend: Backend, worker: int, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.broadcast(*arguments)

    assert backend.receive(worker) == []


def test_a_command_is_unread_until_its_worker_takes_it(backend: Backend, worker: int) -> None:
    backend.broadcast("ping", [], [worker])
    assert backend.unread(worker) == 1

    backend.receive(worker)

    assert backend.unread(worker) == backend.unread(worker + 1) == 0
