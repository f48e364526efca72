"""Standard streams that are closed, or take nothing: no traceback, and talk stays talk."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.conftest import SPOOLQ, Shell


def redirected(shell: Shell, how: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with redirections of the shell."""
    line = ["sh", "-c", f'"$@" {how}', "sh", *SPOOLQ, *words]
    return subprocess.run(line, env=shell.env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [("add", "no-such-program"), ("show", "1")], ids=" ".join)
def test_a_closed_stream_is_one_that_nobody_reads(
    shell: Shell, how: str, words: tuple[str, ...]
) -> None:
    shell.ok("add", "true")

    ran = redirected(shell, how, *words)

    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert "warning" not in ran.stdout  # talk does not go where data goes


@pytest.mark.parametrize("words", [("list",), ("show", "1"), ("list", "--json"), ("add", "true")])
def test_a_full_disk_below_stdout_is_said_in_one_line(shell: Shell, words: tuple[str, ...]) -> None:
    shell.ok("add", "true")

    ran = redirected(shell, ">/dev/full", *words)

    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "what was to be printed: No space left on device" in ran.stderr
