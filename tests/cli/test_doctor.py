"""`doctor`: each thing that can be wrong is found, named and given a fix."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq import doctor
from spoolq.files.store import FileBackend
from tests.cli.conftest import Shell
from tests.support import FakeClock
from tests.support.jobs import claim


def findings(shell: Shell, *words: str) -> dict[str, dict[str, Any]]:
    """By check, everything that is not well."""
    value = json.loads(shell.run("doctor", "--json", *words).out)
    found = [one for section in value["sections"] for one in section["findings"]]
    assert value["problems"] == sum(one["level"] == "problem" for one in found)
    return {one["check"]: one for one in found if one["level"] != "ok"}


@pytest.fixture
def healthy(shell: Shell) -> Shell:
    shell.ok("repair")
    del shell.env["SPOOLQ_DURABILITY"]
    return shell


def past(shell: Shell, seconds: float) -> FileBackend:
    """The spool as it was so long ago."""
    clock = FakeClock(time.time() - seconds)
    return FileBackend(str(shell.root), clock=clock, durability="none")


def _worker_is_silent(shell: Shell) -> None:
    past(shell, 600).register_worker()


def _queue_is_not_served(shell: Shell) -> None:
    past(shell, 600).enqueue("foo", queue="gpu")


def _jobs_are_stuck(shell: Shell) -> None:
    past(shell, 7200).enqueue("foo")


def _a_file_was_set_aside(shell: Shell) -> None:
    (shell.root / "corrupt" / "17.json").write_text("{")


def _an_executable_is_refused(shell: Shell) -> None:
    shell.add_executable("loose", "exit 0").chmod(0o777)


def _an_executable_cannot_run(shell: Shell) -> None:
    shell.add_executable("text", "exit 0").chmod(0o644)


def _there_is_little_room(shell: Shell) -> None:
    (shell.root / "spoolq.toml").write_text(f"low_water = {10**14}\n")


@pytest.mark.parametrize(
    ("spoil", "check", "fix"),
    [
        (_worker_is_silent, "silent", "spoolq repair"),
        (_queue_is_not_served, "unserved", "spoolq worker -q gpu"),
        (_jobs_are_stuck, "stuck", "spoolq why 1"),
        (_a_file_was_set_aside, "corrupt", "corrupt/*.reason"),
        (_an_executable_is_refused, "refused", "chmod go-w"),
        (_an_executable_cannot_run, "executable", "chmod +x"),
        (_there_is_little_room, "space", "spoolq clean"),
    ],
)
def test_a_problem_is_found_and_is_exit_code_1(
    healthy: Shell, spoil: Callable[[Shell], None], check: str, fix: str
) -> None:
    spoil(healthy)

    found = findings(healthy)

    assert found[check]["level"] == "problem"
    assert fix in found[check]["fix"]
    ran = healthy.run("doctor")
    assert ran.code == 1
    assert f"  ✗ {found[check]['text']}" in ran.out
    assert f"      fix: {found[check]['fix']}" in ran.out


def _a_parent_failed(shell: Shell) -> None:
    backend = past(shell, 1)
    worker = backend.register_worker()
    backend.enqueue("foo")
    backend.fail_job(1, claim(backend, worker)["retries"])
    backend.enqueue("foo", parents=[1])


def _an_incident_is_on_record(shell: Shell) -> None:
    (shell.root / "incidents" / "17.x.json").write_text("{}")


def _a_temporary_file_is_old(shell: Shell) -> None:
    path = shell.root / "tmp" / "left"
    path.write_text("")
    os.utime(path, (0, 0))


def _jobs_came_just_now(shell: Shell) -> None:
    past(shell, 1).enqueue("foo", queue="gpu")


def _power_loss_is_accepted(shell: Shell) -> None:
    (shell.root / "spoolq.toml").write_text('durability = "none"\n')


def _a_queue_is_paused(shell: Shell) -> None:
    backend = past(shell, 2)
    backend.enqueue("foo", queue="gpu")
    backend.set_queue("gpu", paused=True, by="ann", why="disk swap")


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (_a_queue_is_paused, "paused"),
        (_a_parent_failed, "parents"),
        (_an_incident_is_on_record, "incidents"),
        (_a_temporary_file_is_old, "stale"),
        (_jobs_came_just_now, "unserved"),
        (_power_loss_is_accepted, "durability"),
    ],
)
def test_a_warning_is_found_and_is_exit_code_0(
    healthy: Shell, spoil: Callable[[Shell], None], check: str
) -> None:
    spoil(healthy)

    assert findings(healthy)[check]["level"] == "warning"
    assert healthy.run("doctor").code == 0


def test_a_healthy_spool_has_no_problem_and_is_left_as_it_was(healthy: Shell) -> None:
    before = sorted(path for path in healthy.root.rglob("*"))

    ran = healthy.run("doctor")

    assert ran.code == 0
    assert "✓ write, fsync, rename, link, unlink all work here" in ran.out
    assert "0 problems" in ran.out.splitlines()[-1]
    assert sorted(path for path in healthy.root.rglob("*")) == before


def test_a_quick_look_reads_no_jobs(healthy: Shell) -> None:
    _jobs_are_stuck(healthy)
    _a_file_was_set_aside(healthy)

    found = findings(healthy, "--quick")

    assert "corrupt" in found
    assert "stuck" not in found


def test_a_spool_that_cannot_be_opened_is_5(shell: Shell) -> None:
    shell.root.write_text("no directory")

    assert shell.run("doctor").code == 5


def test_a_disk_that_refuses_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)

    said = doctor._try_the_disk(str(tmp_path))

    assert said == f"link does not work in {tmp_path}: Input/output error"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        (["rw", "hard", "acdirmax=3"], {"mount": "ok"}),
        (["rw", "hard", "noac"], {"mount": "ok"}),
        (["rw", "hard"], {"mount": "ok", "cache": "warning"}),
        (["rw", "soft", "acdirmax=60"], {"mount": "problem", "cache": "warning"}),
    ],
)
def test_nfs_is_judged_by_its_mount_options(options: list[str], levels: dict[str, str]) -> None:
    section = doctor.Section("filesystem")

    doctor._nfs(section, options)

    assert {one.check: one.level for one in section.findings} == levels


@pytest.mark.parametrize(
    ("space", "level"),
    [((100, 1000, 9), "problem"), ((150, 1000, 9), "warning"), ((500, 1000, 9), "ok")],
)
def test_room_is_judged_by_the_low_water_mark(
    tmp_path: Path, space: tuple[int, int, int], level: str
) -> None:
    section = doctor.Section("filesystem")

    doctor._space(section, space, 101, str(tmp_path))

    assert section.findings[0].level == level


@pytest.mark.parametrize(
    ("kind", "local", "check"),
    [("tmpfs", True, "memory"), ("vboxsf", False, "treated as remote"), ("ext4", True, "journal")],
)
def test_a_file_system_that_promises_less_is_named(
    tmp_path: Path, kind: str, local: bool, check: str
) -> None:
    section = doctor._filesystem(str(tmp_path), kind, local, False, (10, 10, 10), 1)

    assert section.findings[0].level == "warning"
    assert check in section.findings[0].text


def test_a_clock_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FileBackend(str(tmp_path / "spool"), durability="none")
    monkeypatch.setattr(backend._fs, "server_time", lambda _: time.time() - 41)

    [finding] = doctor._clocks(backend).findings

    assert finding.level == "warning"
    assert "41 s ahead of the file system's clock" in finding.text
