"""`list`, `show`, `logs`, `stats`, `retry`, `remove`: what people and scripts see."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import pytest

from spoolq.cli.exits import USAGE
from tests.cli.conftest import Shell, Terminal

HOSTILE = "a\x1b[31m\nb\u202e\x07"


def test_an_empty_spool_lists_nothing(shell: Shell) -> None:
    assert shell.ok("list") == ""
    assert shell.ok("ls", "--json") == "[]"


def test_off_a_terminal_a_listing_is_tabs_without_padding(shell: Shell) -> None:
    shell.ok("enqueue", "notify", "a b", "x" * 200)

    names, values = (line.split("\t") for line in shell.ok("list").splitlines())

    row = dict(zip(names, values, strict=True))
    assert (row["ID"], row["STATE"], row["QUEUE"]) == ("1", "ready", "default")
    assert row["COMMAND"] == f'notify "a b" {"x" * 200}'
    assert shell.ok("list", "--no-header") == "\t".join(values)


def test_on_a_terminal_a_listing_has_a_head_and_fits(shell: Shell, terminal: Terminal) -> None:
    shell.ok("add", "-c", "x" * 200)

    for columns in (40, 80, 120):
        head, row, *_ = terminal.run("list", columns=columns).out.splitlines()
        assert head.split()[:2] == ["ID", "STATE"]
        assert len(row) <= columns
        assert "…" in row


def test_no_value_fills_the_screen_and_the_way_to_all_of_it_is_said(
    shell: Shell, terminal: Terminal
) -> None:
    shell.add_executable("talk.job", 'seq -s , 1000 >"$SPOOLQ_RESULT_FILE"')
    shell.ok("enqueue", "talk", "x" * 2000)
    shell.ok("process")

    shown = terminal.run("show", "1").out

    assert len(shown) < 2000
    assert "(all: spoolq result 1)" in shown
    assert "(all: spoolq show --json 1)" in shown
    assert "x" * 2000 in shell.ok("show", "1")


def test_filters_and_pages(shell: Shell) -> None:
    for queue, task in (("a", "x"), ("b", "x"), ("b", "y")):
        shell.ok("enqueue", "-q", queue, task)

    def ids(*words: str) -> list[int]:
        return [job["id"] for job in shell.json("list", *words)]

    assert ids("-q", "b") == [3, 2]
    assert ids("-q", "b", "-t", "x") == [2]
    assert ids("-S", "inactive", "-S", "failed") == [3, 2, 1]
    assert ids("-l", "1", "--offset", "1") == [2]
    assert ids("-q", "none") == []


def test_an_unknown_state_is_a_usage_error(shell: Shell) -> None:
    assert shell.run("list", "-S", "done").code == 2


def test_every_time_has_its_iso_twin(shell: Shell) -> None:
    shell.ok("enqueue", "task")

    job = shell.json("show")

    assert datetime.fromisoformat(job["created_at"]).timestamp() == pytest.approx(job["created"])
    assert job["created_at"].endswith("Z")
    assert job["finished"] is job["finished_at"] is None


def test_hostile_text_is_shown_escaped_everywhere_but_in_raw_logs(
    shell: Shell, terminal: Terminal
) -> None:
    shell.add_executable("echo", 'printf %s "$1"; printf %s "$1" >"$SPOOLQ_RESULT_FILE"; exit "$2"')
    shell.ok("enqueue", "-q", HOSTILE, "--args", "[]", HOSTILE)
    shell.ok("enqueue", "-n", '{"\\u001b": "\\u202e"}', "echo", HOSTILE, "0")
    shell.ok("enqueue", "echo", HOSTILE, "1")
    shell.ok("process")

    seen = [shell.ok("list"), *(shell.ok("show", word) for word in "123")]
    seen += [shell.ok("list", "-o", form) for form in ("json", "jsonl", "tsv")]
    seen += [shell.ok(verb) for verb in ("why", "stats", "workers")]
    seen += [
        terminal.run(*words).out
        for words in (
            *(
                ["list", "-a"],
                ["show", "1"],
                ["show", "2"],
                ["show", "3"],
                ["logs", "3"],
                ["why", "1"],
            ),
            *(["stats"], [], ["wait", "3"], ["logs", "-f", "3"], ["doctor"]),
        )
    ]

    for text in seen:
        assert not {"\x1b", "\u202e", "\x07"} & set(text), text
    assert "\\x1b[31m" in seen[0]
    assert shell.run("logs", "3").out == HOSTILE


def test_logs_are_passed_on_byte_by_byte(shell: Shell) -> None:
    shell.add_executable("binary", r"printf '\377\000\n'; printf 'last'")
    shell.ok("enqueue", "binary")
    shell.ok("process")

    process = shell.popen("logs", "1")

    assert process.communicate()[0] == b"\xff\x00\nlast"
    assert shell.ok("logs", "-n", "1", "1") == "last"
    assert shell.json("logs", "1")["path"] == str(shell.root / "logs" / "0" / "1.0.log")


def test_logs_of_each_try_are_kept(shell: Shell) -> None:
    shell.add_executable("say", 'echo "try $SPOOLQ_ATTEMPT"')
    shell.ok("enqueue", "say")
    shell.ok("process")
    shell.ok("retry", "1")
    assert shell.ok("logs", "1") == "try 1"
    shell.ok("process")

    assert shell.ok("logs", "1") == "try 2"
    assert shell.ok("logs", "--attempt", "1", "1") == "try 1"
    assert shell.run("logs", "--attempt", "3", "1").code == 3


def test_show_has_what_a_person_asks_first(shell: Shell) -> None:
    shell.add_executable("broken", "seq 100; exit 7")
    shell.ok("enqueue", "broken", "a b")
    shell.ok("process")

    lines = shell.ok("show").splitlines()

    fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
    assert fields["State"] == "failed"
    assert fields["Exit"] == "7"
    assert fields["Task"] == "broken"
    assert fields["Args"] == '"a b"'
    assert fields["Error"] == "exit status 7"
    assert {"Created", "Finished", "File"} <= fields.keys()
    assert fields["File"].startswith(str(shell.root / "failed"))
    assert "(spoolq logs 1 shows all 100)" in lines[-11]
    assert lines[-1] == "  100"


@pytest.mark.parametrize("verb", ["show", "logs", "retry", "remove"])
def test_an_id_that_does_not_exist_is_exit_code_3(shell: Shell, verb: str) -> None:
    ran = shell.run(verb, "17")

    assert (ran.code, ran.out, ran.err) == (3, "", "spoolq: no such job: 17\n")


@pytest.mark.parametrize("word", ["x", "1-", "-", "1.5", "²", "1-2-3", "1-9999999"])
def test_what_is_no_id_is_a_usage_error(shell: Shell, word: str) -> None:
    ran = shell.run("show", "--", word)

    assert (ran.code, ran.out) == (2, "")


def test_last_of_an_empty_spool_is_exit_code_3(shell: Shell) -> None:
    assert shell.run("show").code == 3


def test_retry_and_remove_take_several_ids_and_ranges(shell: Shell) -> None:
    for _ in range(4):
        shell.ok("enqueue", "task")

    assert shell.json("retry", "-q", "mail", "1-2") == [
        {"id": 1, "retried": True},
        {"id": 2, "retried": True},
    ]
    shell.ok("remove", "1", "3-4")

    (left,) = shell.json("list")
    assert (left["id"], left["queue"], left["retries"]) == (2, "mail", 1)


def test_one_missing_id_leaves_the_others_alone(shell: Shell) -> None:
    shell.ok("enqueue", "task")

    assert shell.run("remove", "1", "2").code == 3

    assert len(shell.json("list")) == 1


def test_stats_are_minions(shell: Shell) -> None:
    shell.ok("enqueue", "task")

    assert shell.json("stats")["inactive_jobs"] == 1
    assert "inactive_jobs" in shell.ok("stats")


def test_a_reader_that_leaves_early_is_no_error(shell: Shell) -> None:
    shell.ok("enqueue", "task")
    process = shell.popen("list")
    assert process.stdout is not None
    process.stdout.close()

    _, err = process.communicate(timeout=60)

    assert process.returncode in (0, 1)
    assert err == b""


def test_version_and_help(shell: Shell, tmp_path: Path) -> None:
    assert "Usage: spoolq" in shell.ok("--help")
    assert "Usage: spoolq add" in shell.ok("add", "--help")
    assert not (tmp_path / "spool").exists()


def test_lines_that_are_followed_can_have_the_time_they_came(shell: Shell) -> None:
    shell.ok("add", "printf", "one\\ntwo\\n\\nthree")
    shell.ok("process")

    lines = shell.run("logs", "-f", "--timestamps").out.splitlines()

    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines)
    assert [line[10:] for line in lines] == ["one", "two", "", "three"]
    assert shell.run("logs", "--timestamps").code == 2


def test_the_path_of_a_log_is_told(shell: Shell) -> None:
    shell.ok("add", "echo", "hi")
    shell.ok("process")

    assert Path(shell.ok("logs", "--path")).read_text() == "hi\n"


def test_the_output_of_several_jobs_says_whose_it_is(shell: Shell) -> None:
    shell.ok("add", "-c", "echo one; echo two")
    shell.ok("add", "printf", "three")
    shell.ok("process")

    assert shell.ok("logs", "all") == "1 | one\n1 | two\n2 | three"
    assert shell.ok("logs", "1-2", "-n", "1") == "1 | two\n2 | three"
    assert [log["output"] for log in shell.json("logs", "1,2")] == ["one\ntwo\n", "three"]


@pytest.mark.parametrize("words", [["-f"], ["--path"], ["--attempt", "1"]])
def test_what_is_about_one_log_takes_no_two_jobs(shell: Shell, words: list[str]) -> None:
    shell.ok("add", "true")
    shell.ok("add", "true")

    assert shell.run("logs", *words, "1-2").code == USAGE


def test_show_says_who_has_added_a_command_line(shell: Shell) -> None:
    shell.env["USER"] = "ann"
    shell.ok("add", "true")

    assert f" by ann@{os.uname().nodename}\n" in shell.ok("show", "1")
    assert shell.json("show", "1")["kwargs"]["by"] == f"ann@{os.uname().nodename}"
