"""What one attempt has left untouched, an empty log, an empty directory, serves the next one.

Nobody may notice: no word and no file of one job is ever found by another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolq import Spool
from spoolq.clock import SystemClock
from spoolq.runners.program import Scratch
from spoolq.runners.shelf import Shelf
from tests.runners.functions import Stage
from tests.support import wait_for


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A spool with programs; private directories are made where one can look at them."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    stage = Stage(Spool(tmp_path / "spool", durability="none"), "fork")
    yield stage
    stage.close()


def program(stage: Stage, name: str, text: str) -> str:
    path = Path(str(stage.spool.root)) / "jobs" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return name


def shelf_of(stage: Stage) -> Shelf:
    found = stage.performers._get("executable")._shelf  # type: ignore[attr-defined]
    assert isinstance(found, Shelf)
    return found


def until_swept(stage: Stage) -> None:
    """What has ended is known to have left nothing running."""

    def swept() -> bool:
        stage.performers.tend()
        stage.performers._get("executable")._sweep_some()  # type: ignore[attr-defined]
        shelf = shelf_of(stage)
        shelf.swept(stage.performers._zygote.swept())
        shelf._until = SystemClock().elapsed() + 60
        return not shelf._unswept

    wait_for(swept, timeout=20)


def directories(stage: Stage) -> list[int]:
    place = Path(str(stage.spool.root)).parent / "scratch"
    return [path.stat().st_ino for path in place.iterdir()]


def logs(stage: Stage) -> list[str]:
    return sorted(path.name for path in (Path(str(stage.spool.root)) / "logs").rglob("*.log"))


def test_a_silent_program_hands_on_its_directory_and_its_log(stage: Stage) -> None:
    quiet = program(stage, "quiet", "true")
    loud = program(stage, "loud", 'pwd; basename "$TMPDIR"; ls -A')
    stage.run(quiet)
    until_swept(stage)
    [directory] = directories(stage)
    inode = (Path(str(stage.spool.root)) / "logs" / "0" / "1.0.log").stat().st_ino
    outcome = stage.run(loud)
    assert outcome.ok
    assert directories(stage) == [directory]
    assert logs(stage) == ["2.0.log"]
    assert (Path(str(stage.spool.root)) / "logs" / "0" / "2.0.log").stat().st_ino == inode
    assert stage.log(2).splitlines()[1].startswith("spoolq-2.0-")
    assert len(stage.log(2).splitlines()) == 2


def test_nothing_is_handed_on_before_the_leftovers_are_dead(stage: Stage) -> None:
    program(stage, "daemon", "(setsid sh -c 'sleep 0.02; echo late; touch late; sleep 60' &)")
    assert stage.run("daemon").ok
    assert not shelf_of(stage)._scratches
    loud = program(stage, "loud", "ls -A; echo mine")
    assert stage.run(loud).ok
    assert stage.log(2) == "mine\n"


def test_a_directory_that_was_touched_after_the_end_is_not_handed_on(stage: Stage) -> None:
    quiet = program(stage, "quiet", "true")
    stage.run(quiet)
    until_swept(stage)
    [kept] = (Path(str(stage.spool.root)).parent / "scratch").iterdir()
    (kept / "late").write_text("late")
    assert stage.run(program(stage, "loud", "ls -A")).ok
    assert stage.log(2) == ""
    assert not kept.exists()


def test_a_log_that_was_written_to_after_the_end_stays_with_its_job(stage: Stage) -> None:
    stage.run(program(stage, "quiet", "true"))
    until_swept(stage)
    with open(f"{stage.spool.root}/logs/0/1.0.log", "a", encoding="utf-8") as file:
        file.write("late\n")
    assert stage.run(program(stage, "loud", "echo mine")).ok
    assert (stage.log(1), stage.log(2)) == ("late\n", "mine\n")


def test_a_job_that_was_removed_has_no_log_to_hand_on(stage: Stage) -> None:
    stage.run(program(stage, "quiet", "true"))
    until_swept(stage)
    os.unlink(f"{stage.spool.root}/logs/0/1.0.log")
    assert stage.run(program(stage, "loud", "echo mine")).ok
    assert stage.log(2) == "mine\n"


def test_the_log_of_an_attempt_that_was_given_back_is_not_replaced(stage: Stage) -> None:
    stage.run(program(stage, "quiet", "true"))
    until_swept(stage)
    Path(f"{stage.spool.root}/logs/0/2.0.log").write_text("before\n")
    assert stage.run(program(stage, "loud", "echo after")).ok
    assert stage.log(2) == "before\nafter\n"


def test_a_program_that_failed_keeps_its_log(stage: Stage) -> None:
    assert not stage.run(program(stage, "bad", "exit 1")).ok
    until_swept(stage)
    assert stage.run(program(stage, "loud", "echo mine")).ok
    assert logs(stage) == ["1.0.log", "2.0.log"]


def test_at_the_end_nothing_is_kept(stage: Stage) -> None:
    stage.run(program(stage, "quiet", "true"))
    stage.close()
    assert (directories(stage), logs(stage)) == ([], [])


def test_a_directory_with_another_mode_is_not_handed_on(tmp_path: Path) -> None:
    tmp_path.joinpath("logs").mkdir()
    shelf = Shelf(str(tmp_path), SystemClock())
    scratch = Scratch("1.0")
    os.chmod(scratch.work, 0o777)  # what a program may do to it
    shelf.put(1, scratch, None)
    assert not os.path.exists(scratch.work)


def test_a_pool_child_hands_its_empty_log_to_its_next_job(tmp_path: Path) -> None:
    stage = Stage(Spool(tmp_path / "spool", durability="none"), "pool")

    def quiet() -> None: ...

    def talk() -> None:
        print("mine")

    try:
        for task in (stage.add(quiet), stage.add(talk)):
            assert stage.run(task).ok
        assert stage.log(2) == "mine\n"
        wait_for(lambda: logs(stage) == ["2.0.log"])
    finally:
        stage.close()


def test_a_pool_child_whose_streams_were_replaced_takes_new_ones(tmp_path: Path) -> None:
    stage = Stage(Spool(tmp_path / "spool", durability="none"), "pool")

    def replace() -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)

    def complain() -> None:
        os.write(2, b"mine\n")

    try:
        for task in (stage.add(replace), stage.add(complain)):
            assert stage.run(task).ok
        assert stage.log(2) == "mine\n"
    finally:
        stage.close()
