"""Notes: metadata that anybody may add to a job at any time [155-166]."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import STATES, State
from tests.support import FakeClock, claim, drain, info, job_in


@pytest.mark.minion(155)
def test_notes_are_merged_at_the_top_level(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"foo": [4, 5], "bar": 1})

    assert backend.note(job_id, {"bar": 2, "baz": {"yada": ["yada"]}})

    assert info(backend, job_id).notes == {"foo": [4, 5], "bar": 2, "baz": {"yada": ["yada"]}}


@pytest.mark.minion(156)
def test_null_removes_a_key(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"a": 1, "b": 2, "c": 3})

    assert backend.note(job_id, {"a": None, "b": 5, "c": None, "d": 6})

    assert info(backend, job_id).notes == {"b": 5, "d": 6}


@pytest.mark.minion(157)
def test_the_merge_is_shallow(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"deep": {"b": 2}})

    backend.note(job_id, {"deep": {"c": 3}})

    assert info(backend, job_id).notes == {"deep": {"c": 3}}


@pytest.mark.minion(158)
def test_nulls_that_were_not_named_stay(backend: Backend) -> None:
    notes = {"x": None, "deep": {"null": None}, "list": [None, 1]}
    job_id = backend.enqueue("foo", notes=notes)

    backend.note(job_id, {"y": {"z": None}})

    assert info(backend, job_id).notes == {**notes, "y": {"z": None}}


@pytest.mark.minion(159)
def test_removing_what_is_not_there_is_fine(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"a": 1})

    assert backend.note(job_id, {"b": None})
    assert backend.note(job_id, {})

    assert info(backend, job_id).notes == {"a": 1}


@pytest.mark.minion(160)
@pytest.mark.parametrize("missing", [-1, 4711])
def test_a_job_that_is_not_there_takes_no_notes(backend: Backend, missing: int) -> None:
    assert not backend.note(missing, {"a": 1})
    assert not backend.note(missing, {})


@pytest.mark.minion(161)
@pytest.mark.parametrize("state", STATES)
def test_notes_can_be_taken_in_every_state(backend: Backend, worker: int, state: State) -> None:
    job_id = job_in(state, backend, worker)
    before = info(backend, job_id)

    assert backend.note(job_id, {"a": 1})
    assert backend.note(job_id, {"b": 2})

    after = info(backend, job_id)
    assert after.notes == {"a": 1, "b": 2}
    assert (after.state, after.retries, after.result) == (state, 0, before.result)


def test_a_note_does_not_take_a_running_job_away_from_its_worker(
    backend: Backend, worker: int
) -> None:
    job_id = job_in("active", backend, worker)

    backend.note(job_id, {"a": 1})

    assert backend.list_workers(ids=[worker]).rows[0].jobs == [job_id]
    assert backend.finish_job(job_id, 0, "done")
    assert info(backend, job_id).notes == {"a": 1}


@pytest.mark.parametrize(
    "options", [{}, {"priority": 3}, {"queue": "other"}, {"delay": 5}], ids=repr
)
def test_a_note_does_not_change_a_jobs_place_in_the_queue(
    backend: Backend, worker: int, clock: FakeClock, options: dict[str, Any]
) -> None:
    ids = [backend.enqueue("foo", **options) for _ in range(3)]

    backend.note(ids[1], {"a": 1})

    clock.advance(5)
    assert drain(backend, worker, queues=["default", "other"]) == ids


def test_a_note_does_not_free_a_child_that_waits(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo", queue="elsewhere")
    child = backend.enqueue("bar", parents=[parent])

    backend.note(child, {"a": 1})
    backend.note(parent, {"a": 1})

    assert drain(backend, worker) == []
    backend.remove_job(parent)
    assert drain(backend, worker) == [child]


@pytest.mark.minion(162)
def test_notes_survive_retries(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", attempts=2, notes={"a": 1})
    claim(backend, worker)
    backend.note(job_id, {"b": 2})

    backend.fail_job(job_id, 0)
    backend.note(job_id, {"c": 3})
    backend.retry_job(job_id, 1)

    assert info(backend, job_id).notes == {"a": 1, "b": 2, "c": 3}
    claim(backend, worker)
    backend.finish_job(job_id, 2)
    assert info(backend, job_id).notes == {"a": 1, "b": 2, "c": 3}


@pytest.mark.minion(166)
def test_jobs_are_found_by_any_of_their_top_level_keys(backend: Backend) -> None:
    first = backend.enqueue("foo", notes={"k1": 1, "k3": 1})
    second = backend.enqueue("foo", notes={"k2": {"nested": 1}})
    third = backend.enqueue("foo")
    backend.note(third, {"later": []})

    def having(*keys: str) -> list[int]:
        return [job.id for job in backend.list_jobs(notes=keys).rows]

    assert having("k1", "k2") == [second, first]
    assert having("k3") == [first]
    assert having("later") == [third]
    assert having("nested") == []
    assert having("K1") == []
    assert having() == []


@pytest.mark.parametrize("merge", [["a"], "text", 5, None], ids=repr)
def test_notes_that_are_no_object_are_refused(backend: Backend, merge: Any) -> None:
    job_id = backend.enqueue("foo")

    with pytest.raises(InvalidType):
        backend.note(job_id, merge)


def test_notes_that_json_cannot_carry_are_refused(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"a": 1})

    with pytest.raises(InvalidType):
        backend.note(job_id, {"a": 2, "b": object()})
    with pytest.raises(InvalidType):
        backend.note(job_id, {5: 1})  # type: ignore[dict-item]
    with pytest.raises(InvalidValue):
        backend.note(job_id, {"b": float("nan")})

    assert info(backend, job_id).notes == {"a": 1}


def test_any_string_is_a_key(backend: Backend) -> None:
    keys = ["", "a b", "../x", "🦀", "\0", "k" * 2000]
    job_id = backend.enqueue("foo")

    backend.note(job_id, dict.fromkeys(keys, 1))

    assert info(backend, job_id).notes == dict.fromkeys(keys, 1)
    assert backend.list_jobs(notes=["k" * 2000]).total == 1


def test_large_notes_are_kept(backend: Backend) -> None:
    job_id = backend.enqueue("foo")

    backend.note(job_id, {"log": "x" * 300_000})

    assert info(backend, job_id).notes == {"log": "x" * 300_000}
