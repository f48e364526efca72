"""A spool in the hands of a person with `ls`, `cp` and `mv`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.files.conftest import OpenSpool
from tests.files.look import age, drop, file_of, set_aside, state_of
from tests.support import FakeClock, claim, drain, failed_job, finished_job, info, lookup


def move_by_hand(root: Path, id: int) -> None:
    """`mv */…/17.* inactive/`"""
    path = file_of(root, id)
    path.rename(root / "inactive" / path.name)


def inbox(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "inactive").glob("*.json"))


# -- mv is a retry -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "finished"])
def test_mv_of_an_ended_job_into_inactive_is_a_retry(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, state: str
) -> None:
    make = failed_job if state == "failed" else finished_job
    job = make(files, worker)
    clock.advance(5)
    move_by_hand(root, job)

    found = info(files, job)

    assert (found.state, found.retries, found.retried) == ("inactive", 1, clock.wall())
    assert (found.attempts, len(found.history)) == (1, 1)
    assert claim(files, worker)["retries"] == 1
    assert inbox(root) == []


def test_mv_with_the_wildcards_of_a_shell_is_a_retry(
    files: FileBackend, worker: int, root: Path
) -> None:
    import subprocess

    for _ in range(20):
        failed_job(files, worker)
    subprocess.run("mv failed/*/17.* inactive/", shell=True, cwd=root, check=True)

    assert info(files, 17).state == "inactive"
    assert info(files, 7).state == "failed"
    assert drain(files, worker) == [17]


def test_mv_of_a_running_job_takes_it_from_its_worker(
    files: FileBackend, worker: int, root: Path
) -> None:
    job = files.enqueue("foo")
    claim(files, worker)
    started = info(files, job).started
    move_by_hand(root, job)

    assert info(files, job).state == "inactive"
    assert info(files, job).started == started
    assert files.finish_job(job, 0, "too late") is False
    assert info(files, job).retries == 1


@pytest.mark.parametrize("options", [{}, {"delay": 100}, {"parents": [1]}], ids=repr)
def test_mv_of_a_waiting_job_makes_it_due_now(
    files: FileBackend, worker: int, root: Path, clock: FakeClock, options: dict[str, Any]
) -> None:
    finished_job(files, worker)
    job = files.enqueue("foo", **options)
    move_by_hand(root, job)
    clock.advance(1)

    assert claim(files, worker)["id"] == job


def test_mv_of_a_child_leaves_it_waiting_for_its_parents(
    files: FileBackend, worker: int, root: Path
) -> None:
    parent = files.enqueue("foo", delay=100)
    child = files.enqueue("bar", parents=[parent])
    move_by_hand(root, child)

    assert files.dequeue(worker) is None
    assert info(files, child).parents == [parent]


def test_mv_of_a_finished_parent_makes_its_children_wait_again(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    parent = finished_job(files, worker)
    child = files.enqueue("bar", parents=[parent])
    move_by_hand(root, parent)
    clock.advance(1)

    assert drain(files, worker) == [parent]
    files.finish_job(parent, 1)
    assert drain(files, worker) == [child]


def test_a_job_may_be_edited_on_its_way(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    job = failed_job(files, worker)
    path = file_of(root, job)
    record = json.loads(path.read_text())
    (root / "inactive" / path.name).write_text(json.dumps({**record, "args": ["new"]}, indent=2))
    path.unlink()
    clock.advance(1)

    assert claim(files, worker)["args"] == ["new"]


def test_rm_is_a_remove(files: FileBackend, worker: int, root: Path) -> None:
    job = files.enqueue("foo")
    file_of(root, job).unlink()

    assert lookup(files, job) is None
    assert files.dequeue(worker) is None
    assert files.stats()["inactive_jobs"] == 0


def test_rm_of_a_running_job_makes_its_outcome_false(
    files: FileBackend, worker: int, root: Path
) -> None:
    job = files.enqueue("foo")
    claim(files, worker)
    file_of(root, job).unlink()

    assert files.finish_job(job, 0) is False
    assert files.fail_job(job, 0) is False


# -- a job written by hand -----------------------------------------------------------------------


def test_a_job_written_by_hand_becomes_a_job(files: FileBackend, worker: int, root: Path) -> None:
    (root / "inactive/mine.json").write_text('{"task": "notify", "args": ["hi"]}')

    claimed = claim(files, worker)

    assert (claimed["task"], claimed["args"], claimed["kwargs"]) == ("notify", ["hi"], {})
    assert inbox(root) == []
    assert info(files, claimed["id"]).created == info(files, claimed["id"]).time


def test_a_task_alone_is_enough(files: FileBackend, worker: int, root: Path) -> None:
    (root / "inactive/mine.json").write_text('{"task": "notify"}\n')
    assert claim(files, worker)["args"] == []


def test_a_job_written_by_hand_takes_the_options_of_enqueue(
    files: FileBackend, root: Path, clock: FakeClock
) -> None:
    options = {
        "task": "notify", "args": [1], "kwargs": {"a": 1}, "attempts": 3, "delay": 60, "expire": 90,
        "lax": True, "notes": {"k": "v"}, "parents": [7], "priority": 5.0, "queue": "é",
        "timeout": 9,
    }  # fmt: skip
    drop(root, "mine.json", options)

    found = info(files, 1)

    assert (found.args, found.kwargs, found.notes) == ([1], {"a": 1}, {"k": "v"})
    assert (found.attempts, found.priority, found.queue) == (3, 5, "é")
    assert (found.lax, found.parents, found.timeout) == (True, [7], 9)
    assert (found.delayed, found.expires) == (clock.wall() + 60, clock.wall() + 90)


def test_jobs_written_by_hand_are_each_taken_in_once(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    for number in range(20):
        drop(root, f"mine-{number}.json", {"task": "notify", "args": [number]})
    other = open_spool()

    assert files.list_jobs().total == 20
    assert other.list_jobs().total == 20
    assert sorted(job.args[0] for job in other.list_jobs().rows) == list(range(20))


@pytest.mark.parametrize(
    "name", ["mine", "mine.txt", ".mine.json", "mine.json~", "mine.json.swp", "#mine.json#"]
)
def test_a_file_with_another_name_is_left_where_it_is(
    files: FileBackend, root: Path, name: str
) -> None:
    path = drop(root, name, {"task": "notify"})
    files.repair()

    assert path.exists()
    assert files.stats()["enqueued_jobs"] == 0


@pytest.mark.parametrize("look", ["dequeue", "list", "stats", "retry", "remove", "repair"])
def test_whoever_looks_first_takes_in_what_was_dropped(
    files: FileBackend, worker: int, root: Path, look: str
) -> None:
    drop(root, "mine.json", {"task": "notify"})
    looks: dict[str, Callable[[], object]] = {
        "dequeue": lambda: files.dequeue(worker),
        "list": files.list_jobs,
        "stats": files.stats,
        "retry": lambda: files.retry_job(1, 0),
        "remove": lambda: files.remove_job(1),
        "repair": files.repair,
    }
    looks[look]()

    assert inbox(root) == []


def test_a_busy_worker_looks_into_the_inbox_every_half_second(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    files.enqueue_many(["foo"] * 3)
    claim(files, worker)
    drop(root, "mine.json", {"task": "notify", "priority": 9})

    assert claim(files, worker)["task"] == "foo"
    clock.advance(0.5)
    assert claim(files, worker)["task"] == "notify"


# -- what is still being written, and what is wrong ----------------------------------------------


def test_a_file_that_is_still_being_written_is_left_alone_for_two_seconds(
    files: FileBackend, root: Path
) -> None:
    path = drop(root, "mine.json", b'{"task": "not')
    age(path, 1.5)
    files.list_jobs()
    assert path.exists()

    path.write_text('{"task": "notify"}')
    assert files.list_jobs().total == 1
    assert set_aside(root) == {}


def test_a_file_that_stays_broken_for_two_seconds_is_set_aside_with_the_reason(
    files: FileBackend, root: Path
) -> None:
    path = drop(root, "mine.json", b'{"task": "not')
    age(path, 2.1)
    files.list_jobs()

    assert not path.exists()
    [(file, reason)] = set_aside(root).items()
    assert file == str(path)
    assert "not JSON" in reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1], "JSON object"),
        ({"args": []}, "needs a task"),
        ({"task": ""}, "task"),
        ({"task": 1}, "task"),
        ({"task": "a", "args": "text"}, "args"),
        ({"task": "a", "args": {}}, "args"),
        ({"task": "a", "delay": "soon"}, "delay"),
        ({"task": "a", "attempts": -1}, "attempts"),
        ({"task": "a", "priority": 1.5}, "priority"),
        ({"task": "a", "dellay": 5}, "unknown member 'dellay'"),
        ({"task": "a", "parents": [10**300]}, "parent"),
        ({"task": "a", "parents": {"1": 1}}, "parents"),
        ({"task": "a", "expire": 1e300}, "expire"),
        ({"task": "a", "timeout": 0}, "timeout"),
    ],
)
def test_a_job_that_enqueue_would_refuse_is_set_aside_with_the_reason(
    files: FileBackend, worker: int, root: Path, content: Any, reason: str
) -> None:
    drop(root, "mine.json", content)
    drop(root, "other.json", {"task": "good"})

    assert claim(files, worker)["task"] == "good"
    [said] = set_aside(root).values()
    assert reason in said


def test_what_was_set_aside_can_be_put_right_and_dropped_again(
    files: FileBackend, worker: int, root: Path, clock: FakeClock
) -> None:
    drop(root, "mine.json", b'{"task": "not')
    files.list_jobs()
    [kept] = [path for path in (root / "corrupt").iterdir() if path.suffix != ".reason"]
    kept.write_text('{"task": "notify"}')
    kept.rename(root / "inactive/again.json")
    clock.advance(1)

    assert claim(files, worker)["task"] == "notify"


@pytest.mark.parametrize("state", ["inactive", "active", "finished", "failed"])
def test_a_copy_of_a_job_that_is_there_is_set_aside_and_the_job_is_not_touched(
    files: FileBackend, worker: int, root: Path, state: str
) -> None:
    job = files.enqueue("foo")
    if state != "inactive":
        claim(files, worker)
    if state in ("finished", "failed"):
        (files.finish_job if state == "finished" else files.fail_job)(job, 0)
    before = info(files, job)
    copy = root / "inactive" / file_of(root, job).name
    shutil.copy(file_of(root, job), copy)
    age(copy)
    files.list_jobs()

    assert info(files, job) == before
    assert state_of(root, job) == state
    [reason] = set_aside(root).values()
    assert "move a job, do not copy it" in reason


def test_a_file_of_a_job_that_this_spool_never_had_is_set_aside(
    files: FileBackend, root: Path
) -> None:
    job = files.enqueue("foo")
    path = file_of(root, job)
    text = path.read_text().replace('"id":1,', '"id":99,')
    drop(root, f"99.{path.name.removeprefix('1.')}", text.encode())
    files.list_jobs()

    assert files.enqueue("bar") == 2
    [reason] = set_aside(root).values()
    assert "99 was never given out" in reason


def test_a_name_and_a_content_that_are_of_two_jobs_are_set_aside(
    files: FileBackend, worker: int, root: Path
) -> None:
    one, other = failed_job(files, worker), failed_job(files, worker)
    name, content = file_of(root, one).name, file_of(root, other).read_bytes()
    file_of(root, one).unlink()
    drop(root, name, content)
    files.list_jobs()

    assert lookup(files, one) is None
    assert info(files, other).state == "failed"
    [reason] = set_aside(root).values()
    assert "name says job 1" in reason


def test_an_expiry_too_far_away_for_a_name_does_not_lose_the_job(
    files: FileBackend, worker: int, root: Path
) -> None:
    """Found in review: its name left the grammar, and nobody saw the job again."""
    job = failed_job(files, worker)
    path = file_of(root, job)
    record = {**json.loads(path.read_text()), "expires": 1e13}
    path.unlink()
    drop(root, path.name, record)
    files.list_jobs()

    [reason] = set_aside(root).values()
    assert "expires" in reason
