"""`add`, `enqueue` and `miniq`: what is typed is what the job gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Shell

if TYPE_CHECKING:
    from pathlib import Path


def test_miniq_enqueues_a_name_with_its_words_and_prints_the_id(shell: Shell) -> None:
    printed = shell.ok("notify", "Title", "This is a message!", "9", program="miniq")

    assert printed == "1"
    job = shell.json("show", "1")
    assert (job["task"], job["args"]) == ("notify", ["Title", "This is a message!", "9"])


def test_miniq_honours_its_own_variable(shell: Shell, tmp_path: Path) -> None:
    shell.env["MINIQ_ROOT"] = str(tmp_path / "miniq")
    del shell.env["SPOOLQ_ROOT"]

    shell.ok("notify", program="miniq")

    assert (tmp_path / "miniq" / "FORMAT").exists()


@pytest.mark.parametrize("words", [[], ["-x"], ["--", "notify"]])
def test_miniq_without_a_name_is_a_usage_error(shell: Shell, words: list[str]) -> None:
    ran = shell.run(*words, program="miniq")

    assert (ran.code, ran.out, ran.err) == (2, "", "usage: miniq NAME [ARGS…]\n")


def test_words_after_the_task_reach_the_job_unchanged(shell: Shell) -> None:
    words = ["-q", "--json", "--", "--help", "a b", "", "x'y", "n\nl", "-j4", "ü"]

    shell.ok("enqueue", "-q", "mail", "task", *words)

    job = shell.json("show")
    assert (job["queue"], job["args"]) == ("mail", words)


def test_options_of_enqueue_are_those_of_the_job(shell: Shell) -> None:
    shell.ok("enqueue", "parent")

    options = ["-q", "gpu", "-p", "-3", "-d", "1h30m", "-E", "2h", "-A", "5", "-P", "1", "-x"]
    shell.ok("enqueue", *options, "-n", '{"a": [1]}', "-t", "90", "child")

    job = shell.json("show", "2")
    assert (job["queue"], job["priority"], job["attempts"]) == ("gpu", -3, 5)
    assert (job["parents"], job["lax"], job["notes"]) == ([1], True, {"a": [1]})
    assert job["delayed"] == pytest.approx(job["created"] + 5400)
    assert job["expires"] == pytest.approx(job["created"] + 7200)
    assert job["timeout"] == 90


def test_arguments_may_be_json(shell: Shell) -> None:
    shell.ok("enqueue", "--args", '[1, {"a": null}]', "--kwargs", '{"lang": "de"}', "task")

    job = shell.json("show")
    assert (job["args"], job["kwargs"]) == ([1, {"a": None}], {"lang": "de"})


def test_the_queue_comes_from_the_environment_too(shell: Shell) -> None:
    shell.env["SPOOLQ_QUEUE"] = "mail"

    shell.ok("enqueue", "task")

    assert shell.json("show")["queue"] == "mail"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue"], "Missing argument"),
        (["enqueue", "--args", "[1]", "task", "2"], "not both"),
        (["enqueue", "--args", "{}", "task"], "--args must be a JSON list"),
        (["enqueue", "--args", "[", "task"], "--args is not JSON"),
        (["enqueue", "--kwargs", "[]", "task"], "--kwargs must be a JSON object"),
        (["enqueue", "-p", "high", "task"], "not a valid int"),
        (["enqueue", "-d", "soon", "task"], "'soon' is no duration"),
        (["enqueue", "-A", "-1", "task"], "attempts"),
        (["enqueue", ""], "task"),
        (["enqueue", "task", b"\xff"], "lone surrogate"),
        (["add"], "what should run?"),
        (["add", "-c", "ls", "ls"], "not both"),
        (["add", "echo a && echo b"], "For a shell line use: spoolq add -c 'echo a && echo b'"),
        (["frobnicate"], "No such command"),
        ([], "Usage: spoolq"),
    ],
)
def test_a_wrong_call_exits_2_and_enqueues_nothing(
    shell: Shell, words: list[Any], message: str
) -> None:
    ran = shell.run(*words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert shell.json("list") == []


def test_a_command_line_keeps_its_surroundings(shell: Shell, tmp_path: Path) -> None:
    shell.env["COLOUR"] = "rot"

    shell.ok("add", "-p", "3", "sh", "-c", 'pwd; echo "$COLOUR $1"', "-", "-j4", cwd=tmp_path)
    del shell.env["COLOUR"]
    shell.ok("process")

    assert shell.ok("logs").split() == [str(tmp_path), "rot", "-j4"]
    job = shell.json("show")
    assert (job["task"], job["priority"], job["kwargs"]["cwd"]) == ("exec", 3, str(tmp_path))


def test_the_environment_of_a_command_line_is_shown_on_request_only(shell: Shell) -> None:
    shell.env["TOKEN"] = "geheim"
    shell.ok("add", "true")

    assert "geheim" not in shell.ok("show") + shell.ok("show", "--json") + shell.ok(
        "list", "--json"
    )
    assert (
        json.loads(shell.ok("show", "--json", "--show-env"))["kwargs"]["env"]["TOKEN"] == "geheim"
    )


def test_a_shell_line_runs_by_a_shell(shell: Shell) -> None:
    shell.ok("add", "-c", "echo a | tr a b")
    shell.ok("process")

    assert shell.ok("logs") == "b"


def test_a_program_that_is_not_here_is_a_warning(shell: Shell) -> None:
    ran = shell.run("add", "no-such-program", "x")

    assert (ran.code, ran.out) == (0, "1\n")
    assert ran.err == "spoolq: warning: no program called 'no-such-program' on this host's PATH\n"


def test_command_lines_are_refused_where_a_group_shares_the_spool(shell: Shell) -> None:
    shell.ok("repair")
    (shell.root / "spoolq.toml").write_text('mode = "group"\n')
    shell.root.chmod(0o2770)

    ran = shell.run("add", "true")

    assert (ran.code, ran.out) == (4, "")
    assert "single-user spool only" in ran.err


def test_an_id_is_printed_as_json_too(shell: Shell) -> None:
    assert shell.json("enqueue", "task") == {"id": 1}
    assert shell.json("add", "true") == {"id": 2}
