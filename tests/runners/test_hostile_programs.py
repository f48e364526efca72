"""Programs that misbehave: faults 69-77 of the catalogue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spoolq.runners.deadline import GRACE
from tests.runners.programs import Programs, alive
from tests.support import FakeClock, wait_for
from tests.support.ways import open_the_way

if TYPE_CHECKING:
    from collections.abc import Callable

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


# -- children ------------------------------------------------------------------------------------


def test_what_a_program_left_in_its_group_dies_with_it(programs: Programs) -> None:
    programs.add("fork", "sleep 60 & echo $!; (sleep 60 & echo $!)")

    assert programs.run("fork").ok

    left = [int(pid) for pid in programs.log.split()]
    assert len(left) == 2
    wait_for(lambda: not any(alive(pid) for pid in left))


def test_a_daemon_that_left_the_group_does_not_delay_the_end(programs: Programs) -> None:
    programs.add("daemon", "setsid sleep 60 & echo $!")
    run = programs.start("daemon")

    outcome = run.wait(10)

    assert outcome is not None
    assert outcome.ok
    for pid in programs.log.split():
        wait_for(lambda: not alive(int(pid)) or os.getsid(int(pid)) != run.pid)  # noqa: B023
        os.kill(int(pid), 9)


def test_a_program_that_kills_its_group_kills_only_itself(programs: Programs) -> None:
    programs.add("kill", "kill -TERM 0; sleep 60")

    outcome = programs.run("kill")

    assert outcome.exit is not None
    assert outcome.exit["signal"] == 15


# -- timeouts ------------------------------------------------------------------------------------


def test_a_timeout_ends_a_program_with_term(programs: Programs) -> None:
    clock = FakeClock()
    programs.add("slow", "sleep 60")
    run = programs.start("slow", timeout=30, clock=clock)
    assert run.poll() is None

    clock.advance(31)
    wait_for(run.poll)

    outcome = run.poll()
    assert outcome is not None
    assert not outcome.ok
    assert outcome.exit == {"code": None, "signal": 15, "reason": "timeout"}
    assert outcome.result["message"] == "ended after its timeout of 30 s"


def test_a_program_that_ignores_term_is_killed_after_the_grace(programs: Programs) -> None:
    clock = FakeClock()
    programs.add("deaf", "trap '' TERM; echo ready; sleep 60; sleep 60")
    run = programs.start("deaf", timeout=30, clock=clock)
    wait_for(lambda: programs.log)
    clock.advance(31)
    assert run.poll() is None

    clock.advance(GRACE + 1)
    wait_for(run.poll)

    outcome = run.poll()
    assert outcome is not None
    assert outcome.exit == {"code": None, "signal": 9, "reason": "timeout"}


def test_a_program_that_ends_well_after_its_timeout_has_timed_out(programs: Programs) -> None:
    clock = FakeClock()
    programs.add("polite", "trap 'exit 0' TERM; echo ready; sleep 60 & wait")
    run = programs.start("polite", timeout=30, clock=clock)
    wait_for(lambda: programs.log)

    clock.advance(31)
    wait_for(run.poll)

    outcome = run.poll()
    assert outcome is not None
    assert not outcome.ok
    assert outcome.exit == {"code": 0, "signal": None, "reason": "timeout"}


def test_a_stopped_program_does_not_outlive_its_timeout(programs: Programs) -> None:
    clock = FakeClock()
    programs.add("stopped", "kill -STOP $$; sleep 60")
    run = programs.start("stopped", timeout=30, clock=clock)
    wait_for(lambda: " (stopped) T " in Path(f"/proc/{run.pid}/stat").read_text())

    clock.advance(31)
    wait_for(run.poll)

    assert run.poll() is not None


# -- streams -------------------------------------------------------------------------------------


def test_reading_stdin_ends_at_once(programs: Programs) -> None:
    programs.add("reader", "cat; echo done")

    assert programs.run("reader").ok

    assert programs.log == "done\n"


def test_a_flood_of_output_costs_no_memory_and_the_error_stays_small(programs: Programs) -> None:
    programs.add("flood", "head -c 20000000 /dev/zero; exit 1")

    outcome = programs.run("flood")

    assert os.path.getsize(programs.root / "logs" / "1" / "300.0.log") == 20_000_000
    assert len(outcome.result["output"]) <= 4096


def test_binary_output_becomes_text_in_the_error(programs: Programs) -> None:
    programs.add("binary", r"printf '\377\376 ok\n'; exit 1")

    assert programs.run("binary").result["output"].endswith(" ok")


def test_a_program_that_deletes_its_log_and_its_directory_just_fails(programs: Programs) -> None:
    programs.add("wreck", 'rm -rf "$SPOOLQ_ROOT/logs" "$SPOOLQ_TMPDIR"; exit 1')

    outcome = programs.run("wreck")

    assert outcome.result == {"type": "ExitStatus", "message": "exit status 1", "output": ""}


@pytest.mark.parametrize("where", ["log", "shard", "logs"])
def test_a_log_is_never_written_through_a_link(
    programs: Programs, tmp_path: Path, where: str
) -> None:
    programs.add("talk", "echo overwritten")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shard = programs.root / "logs" / "1"
    if where == "logs":
        (programs.root / "logs").rmdir()
        (programs.root / "logs").symlink_to(elsewhere)
    elif where == "shard":
        shard.symlink_to(elsewhere)
    else:
        shard.mkdir()
        (shard / "300.0.log").symlink_to(elsewhere / "file")

    outcome = programs.run("talk")

    assert outcome.result["type"] == "NotStarted"
    assert list(elsewhere.iterdir()) == []


def test_a_log_that_is_another_file_too_is_not_written(programs: Programs, tmp_path: Path) -> None:
    programs.add("talk", "echo overwritten")
    shard = programs.root / "logs" / "1"
    shard.mkdir()
    (tmp_path / "precious").write_text("")
    (shard / "300.0.log").hardlink_to(tmp_path / "precious")

    assert programs.run("talk").result["type"] == "NotStarted"

    assert (tmp_path / "precious").read_text() == ""


# -- files ---------------------------------------------------------------------------------------


def test_a_missing_interpreter_is_named(programs: Programs) -> None:
    programs.add("odd", "#!/no/such/interpreter\n")

    outcome = programs.run("odd")

    assert outcome.exit == {"code": None, "signal": None, "reason": "not found"}
    assert "interpreter" in outcome.result["message"]


def _empty(path: Path) -> None:
    path.write_text("")


def _no_format(path: Path) -> None:
    path.write_text("echo a script without its first line\n")


def _deleted(path: Path) -> None:
    path.unlink()


def _plain_file(path: Path) -> None:
    path.chmod(0o644)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_empty, "is empty"),
        (_no_format, "Exec format error"),
        (_deleted, "no executable 'victim' in"),
        (_plain_file, "is not executable: chmod +x it"),
        (_dangling, "No such file or directory"),
        (_loop, "Too many levels of symbolic links"),
    ],
)
def test_an_executable_that_cannot_run_fails_and_says_why(
    programs: Programs, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(programs.add("victim", "exit 0"))

    outcome = programs.run("victim")

    missing = "no executable" in message or "No such file" in message
    reason = "not found" if missing else "not started"
    assert outcome.exit == {"code": None, "signal": None, "reason": reason}
    assert outcome.result["type"] == "NotStarted"
    assert message in outcome.result["message"]


def test_a_fifo_is_no_executable(programs: Programs) -> None:
    os.mkfifo(programs.root / "jobs" / "pipe", 0o700)

    assert programs.run("pipe").result["type"] == "UnsafeFile"


def test_arguments_beyond_the_systems_limit_fail_the_job(programs: Programs) -> None:
    programs.add("show", "exit 0")

    assert "Argument list too long" in programs.run("show", "x" * 3_000_000).result["message"]


def test_keyword_arguments_are_refused(programs: Programs) -> None:
    programs.add("show", "exit 0")

    outcome = programs.run("show", kwargs={"a": 1})

    assert outcome.result["message"] == "an executable takes no keyword arguments"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("where", ["file", "jobs", "target", "directory of the target"])
def test_what_others_can_write_is_not_run(
    programs: Programs, tmp_path: Path, mode: int, where: str
) -> None:
    target = tmp_path / "elsewhere" / "program"
    target.parent.mkdir(mode=0o755)
    target.write_text("#!/bin/sh\ntouch ran\n")
    target.chmod(0o755)
    file = programs.add("victim", "touch ran")
    if "target" in where:
        file.unlink()
        file.symlink_to(target)
    spoiled = {"file": file, "jobs": file.parent, "target": target}.get(where, target.parent)
    spoiled.chmod(mode)

    outcome = programs.run("victim")

    assert outcome.result["type"] == "UnsafeFile"
    assert f"chmod go-w {spoiled}" in outcome.result["message"]


def test_a_link_to_a_program_of_the_system_runs(programs: Programs) -> None:
    (programs.root / "jobs" / "truth").symlink_to("/bin/true")

    assert programs.run("truth").ok


@as_root
@pytest.mark.root
@pytest.mark.parametrize("where", ["file", "jobs", "target", "link"])
def test_what_somebody_else_owns_is_not_run(programs: Programs, tmp_path: Path, where: str) -> None:
    target = tmp_path / "program"
    target.write_text("#!/bin/sh\n")
    target.chmod(0o755)
    file = programs.add("victim", "exit 0")
    if where in {"target", "link"}:
        file.unlink()
        file.symlink_to(target)
    spoiled = {"jobs": file.parent, "target": target}.get(where, file)
    os.lchown(spoiled, 12345, 12345)

    outcome = programs.run("victim")

    assert outcome.result["type"] == "UnsafeFile"
    assert "belongs to uid 12345" in outcome.result["message"]


@as_root
@pytest.mark.root
def test_root_runs_the_jobs_of_a_spool_as_its_owner(programs: Programs, tmp_path: Path) -> None:
    programs.add("who", 'id -u; id -g; echo "$HOME"; touch mine; echo 1 >"$SPOOLQ_RESULT_FILE"')
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 23456)
    open_the_way(tmp_path.parent)

    outcome = programs.run("who")

    assert outcome.ok, outcome
    assert outcome.result == 1
    assert programs.log.split()[:2] == ["12345", "23456"]
    log = programs.root / "logs" / "1" / "300.0.log"
    assert (log.stat().st_uid, log.parent.stat().st_uid) == (12345, 12345)


@not_root
def test_a_directory_that_may_not_be_entered_fails_the_job(programs: Programs) -> None:
    programs.add("victim", "exit 0")
    (programs.root / "jobs").chmod(0)

    try:
        outcome = programs.run("victim")
    finally:
        (programs.root / "jobs").chmod(0o700)

    assert outcome.result["type"] == "NotStarted"
