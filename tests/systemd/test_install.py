"""`spoolq install`, and the cron line under the environment that cron gives: none."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spoolq.cli.installing import Site, cron_line, read_units
from tests.cli.conftest import Shell, shell, zygote

__all__ = ["shell", "zygote"]

REPOSITORY = Path(__file__).parents[2]


def as_cron(line: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a crontab as cron does, with less than cron gives."""
    fields = line.split(" ", 5)
    assert fields[:5] == ["*"] * 5
    command = fields[5].replace("\\%", "%")
    return subprocess.run(
        ["env", "-i", "sh", "-c", command],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
    )


def test_without_print_nothing_is_done_and_it_is_said_what_to_do(shell: Shell) -> None:
    for verb in ("systemd", "cron"):
        ran = shell.run("install", verb)

        assert (ran.code, ran.out) == (2, "")
        assert "--print" in ran.err


def test_all_units_are_printed_with_the_path_where_they_belong(shell: Shell) -> None:
    shell.ok("repair")
    printed = shell.ok("install", "systemd", "--print")

    assert "# /etc/systemd/system/spoolq-worker@.service\n" in printed
    assert f'Environment="SPOOLQ_ROOT={shell.root}"' in printed
    assert "/srv/spool" not in printed


def test_one_unit_is_printed_as_it_goes_into_its_file(shell: Shell) -> None:
    shell.ok("repair")
    printed = shell.ok("install", "systemd", "--print", "spoolq-process.timer")

    assert printed == read_units(user=False)["spoolq-process.timer"].strip()


def test_the_units_of_a_user_have_no_user(shell: Shell) -> None:
    shell.ok("repair")
    units = json.loads(shell.ok("install", "systemd", "--print", "--user", "--json"))

    assert sorted(units) == sorted(read_units(user=True))
    assert all("\nUser=" not in text for text in units.values())


def test_an_unknown_unit_is_not_found(shell: Shell) -> None:
    shell.ok("repair")
    ran = shell.run("install", "systemd", "--print", "cron.service")

    assert (ran.code, ran.out) == (3, "")
    assert "spoolq-worker.service" in ran.err


def test_a_spool_that_is_not_there_is_told_and_not_made(shell: Shell) -> None:
    ran = shell.run("install", "systemd", "--print", "spoolq-worker.service")

    assert ran.code == 0
    assert "does not exist yet" in ran.err
    assert not shell.root.exists()


def test_a_root_that_no_unit_can_name_is_refused(shell: Shell) -> None:
    ran = shell.run("--root", "/srv/a\nExecStartPre=+/bin/evil", "install", "systemd", "--print")

    assert (ran.code, ran.out) == (2, "")
    assert "ExecStartPre" in ran.err
    assert "\nExecStartPre" not in ran.err


@pytest.mark.parametrize("name", ["spool", "a b%20 'q' $HOME"])
def test_the_cron_line_needs_no_environment(name: str, shell: Shell, tmp_path: Path) -> None:
    shell.env["SPOOLQ_ROOT"] = str(tmp_path / name)
    shell.root = tmp_path / name
    shell.add_executable("count.job", 'echo x >> "$SPOOLQ_ROOT/../ran"')
    shell.ok("enqueue", "count")
    shell.ok("enqueue", "-q", "other", "count")
    line = shell.ok("install", "cron", "--print")

    ran = as_cron(line, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "ran").read_text() == "x\n", "one job of the queue `default`"


def test_the_cron_line_serves_the_queue_it_was_printed_for(shell: Shell, tmp_path: Path) -> None:
    shell.add_executable("count.job", 'echo x >> "$SPOOLQ_ROOT/../ran"')
    shell.ok("enqueue", "-q", "it's 5%", "count")
    line = shell.ok("install", "cron", "--print", "-q", "it's 5%")

    ran = as_cron(line, tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "ran").read_text() == "x\n"


def test_a_percent_sign_does_not_end_the_cron_line() -> None:
    line = cron_line(Site(("/opt/50%/bin/spoolq",), "/srv/spool", "me"))

    assert "%" not in line.replace("\\%", "")


@pytest.mark.slow
def test_an_installed_spoolq_has_its_units(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", str(tmp_path), str(REPOSITORY)),
        ],
        check=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    code = "import spoolq.cli.installing as i; print(i._shipped(), len(i.read_units(user=False)))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={"PYTHONPATH": str(tmp_path / "site")},
        text=True,
        capture_output=True,
        check=True,
    )

    assert ran.stdout.split() == [str(tmp_path / "site/spoolq/systemd"), "7"]
