"""What a program is given, and what becomes of its end."""

from __future__ import annotations

import json
import os
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest

from spoolq.executables import Programs as Places
from spoolq.executables import executable_tasks, find_executable
from spoolq.settings import Settings
from tests.runners.programs import Programs
from tests.support import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

SHOW_ARGV = "#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"


# -- finding -------------------------------------------------------------------------------------


def test_a_job_file_is_found_before_a_plain_name(programs: Programs) -> None:
    plain = programs.add("notify", "exit 0")
    assert find_executable(str(programs.root), "notify") == str(plain)

    named = programs.add("notify.job", "exit 0")

    assert find_executable(str(programs.root), "notify") == str(named)


def test_a_worker_finds_what_is_new_at_once_and_what_takes_its_place_after_a_moment(
    programs: Programs, clock: FakeClock
) -> None:
    places = Places(str(programs.root), clock)
    assert places.find("notify") is None
    plain = programs.add("notify", "exit 0")
    assert places.find("notify") == str(plain)
    named = programs.add("notify.job", "exit 0")
    assert places.find("notify") == str(plain)

    clock.advance(1)

    assert places.find("notify") == str(named)


@pytest.mark.parametrize("task", ["", ".", "..", "../evil", "/bin/true", ".hidden", "a/b", "a\0b"])
def test_a_task_is_found_under_a_plain_file_name_only(programs: Programs, task: str) -> None:
    (programs.root / "evil").write_text("#!/bin/sh\n")
    programs.add(".hidden", "exit 0")

    assert find_executable(str(programs.root), task) is None


def test_directories_and_hidden_files_are_no_tasks(programs: Programs) -> None:
    programs.add("notify.job", "exit 0")
    programs.add(".notify.job.swp", "exit 0")
    (programs.root / "jobs" / "old").mkdir()

    assert executable_tasks(str(programs.root)) == {"exec", "notify", "notify.job"}


def test_without_a_jobs_directory_there_are_only_command_lines(tmp_path: Path) -> None:
    assert executable_tasks(str(tmp_path)) == {"exec"}


# -- what it is given ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        (["a b", "", "x'y", "n\nl", "--flag", "ü", "*", "$HOME"], None),
        ([1, 2.5, True, None], ["1", "2.5", "true", "null"]),
        ([{"a": ["é"]}, [1, 2]], ['{"a":["é"]}', "[1,2]"]),
        ([], []),
    ],
)
def test_arguments_arrive_as_they_are(
    programs: Programs, args: list[Any], seen: list[str] | None
) -> None:
    programs.add("show", SHOW_ARGV)

    assert programs.run("show", *args).ok

    assert json.loads(programs.log) == (args if seen is None else seen)


def test_the_environment_is_small_and_says_which_attempt_this_is(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add(
        "show", "#!/usr/bin/env python3\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    )
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("NOTIFY_URL", "http://localhost/")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("TZ", raising=False)

    assert programs.run("show", queue="mail", worker=7).ok

    env = json.loads(programs.log)
    env.pop("LC_CTYPE", None)  # Python's own, in a C locale
    assert env.keys() == {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "NOTIFY_URL", "TMPDIR"),
        *("SPOOLQ_ROOT", "SPOOLQ_JOB_ID", "SPOOLQ_TASK", "SPOOLQ_QUEUE", "SPOOLQ_ATTEMPT"),
        *("SPOOLQ_RESULT_FILE", "SPOOLQ_TMPDIR", "SPOOLQ_WORKER"),
    }
    assert env["SPOOLQ_ROOT"] == str(programs.root)
    assert (env["SPOOLQ_JOB_ID"], env["SPOOLQ_TASK"], env["SPOOLQ_QUEUE"]) == (
        "300",
        "show",
        "mail",
    )
    assert (env["SPOOLQ_ATTEMPT"], env["SPOOLQ_WORKER"]) == ("1", "7")
    assert env["LANG"] == "de_DE.UTF-8"


def test_settings_add_variables_and_name_those_to_inherit(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("show", 'echo "$GREETING, $DISPLAY, $PATH"')
    monkeypatch.setenv("DISPLAY", ":7")
    settings = Settings(env={"GREETING": "hallo ü", "PATH": "/bin"}, pass_env=("DISPLAY", "GONE"))

    assert programs.run("show", settings=settings).ok

    assert programs.log == "hallo ü, :7, /bin\n"


def test_it_starts_in_a_private_directory_that_is_gone_afterwards(programs: Programs) -> None:
    programs.add(
        "show",
        "pwd; stat -c %a .; umask; mkdir -p sealed/deeper; touch sealed/deeper/file\n"
        "chmod -R a-w .\n"
        '[ "$(pwd)" = "$SPOOLQ_TMPDIR" ] && [ "$TMPDIR" = "$SPOOLQ_TMPDIR" ]',
    )

    assert programs.run("show").ok

    path, mode, mask = programs.log.split()
    assert (mode, int(mask, 8)) == ("700", 0o077)
    assert not os.path.exists(path)
    assert not os.listdir(programs.root.parent / "scratch")


def test_it_has_a_session_of_its_own_no_stdin_and_no_other_descriptors(programs: Programs) -> None:
    programs.add(
        "show",
        "#!/usr/bin/env python3\nimport os, sys\n"
        "print(os.getsid(0) == os.getpid(), sys.stdin.read(),"
        " [fd for fd in range(3, 256) if os.path.exists(f'/dev/fd/{fd}')])\n",
    )
    with open(programs.root / "jobs" / "show") as kept:
        os.set_inheritable(kept.fileno(), True)

        assert programs.run("show").ok

    assert programs.log == "True  []\n"


def test_output_of_both_streams_goes_into_the_log_in_order(programs: Programs) -> None:
    programs.add("talk", "echo one; echo two >&2; echo three")

    assert programs.run("talk").ok

    assert programs.log == "one\ntwo\nthree\n"
    path = programs.root / "logs" / "1" / "300.0.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


# -- how it ends ---------------------------------------------------------------------------------


def test_status_zero_finishes_with_nothing_as_the_result(programs: Programs) -> None:
    programs.add("quiet", "exit 0")

    outcome = programs.run("quiet")

    assert (outcome.ok, outcome.result) == (True, None)
    assert outcome.exit == {"code": 0, "signal": None, "reason": "exited"}


def test_another_status_fails_with_it_and_the_last_lines(programs: Programs) -> None:
    programs.add("broken", "seq 1000; echo no such luck >&2; exit 7")

    outcome = programs.run("broken")

    assert not outcome.ok
    assert outcome.exit == {"code": 7, "signal": None, "reason": "exited"}
    assert outcome.result["type"] == "ExitStatus"
    assert outcome.result["message"] == "exit status 7"
    assert outcome.result["output"].splitlines()[-2:] == ["1000", "no such luck"]
    assert len(outcome.result["output"].splitlines()) == 20


def test_death_by_a_signal_fails_and_names_it(programs: Programs) -> None:
    programs.add("shot", "kill -KILL $$")

    outcome = programs.run("shot")

    assert outcome.exit == {"code": None, "signal": 9, "reason": "signaled"}
    assert outcome.result["message"] == "killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize(
    ("written", "result", "flag"),
    [
        ('{"rows": 3}', {"rows": 3}, None),
        ("[1, null]\n", [1, None], None),
        ("", None, None),
        ("plain words\n", "plain words", "text"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}', "text"),
        ("NaN", "NaN", "text"),
    ],
)
def test_the_result_file_is_the_result(
    programs: Programs, written: str, result: Any, flag: str | None
) -> None:
    programs.add("report", 'printf %s "$1" >"$SPOOLQ_RESULT_FILE"')

    outcome = programs.run("report", written)

    assert outcome.ok
    assert outcome.result == result
    assert outcome.exit is not None
    assert outcome.exit.get("result") == flag


def test_a_result_beyond_the_limit_becomes_a_stub(programs: Programs) -> None:
    programs.add("report", 'head -c 3000000 /dev/zero | tr "\\0" x >"$SPOOLQ_RESULT_FILE"')

    outcome = programs.run("report")

    assert outcome.ok
    assert outcome.result == {"truncated": True, "bytes": 3000000, "text": "x" * 4096}
    assert outcome.exit is not None
    assert outcome.exit["result"] == "truncated"


@pytest.mark.parametrize("trick", ["ln -s /etc/passwd", "ln /etc/hostname", "mkdir", "mkfifo"])
def test_a_result_that_is_no_file_of_its_own_is_refused(programs: Programs, trick: str) -> None:
    program = programs.root.parent / "own"
    program.write_text("private")
    trick = trick.replace("/etc/hostname", str(program))
    programs.add("report", f'{trick} "$SPOOLQ_RESULT_FILE"')

    outcome = programs.run("report")

    assert outcome.ok
    assert outcome.result is None
    assert outcome.exit is not None
    assert outcome.exit["result"] == "refused"


def test_a_run_can_be_waited_for_and_sent_a_signal(programs: Programs) -> None:
    programs.add("sleepy", "trap 'echo caught; exit 3' USR1; echo ready; sleep 60 & wait")
    run = programs.start("sleepy")
    while run.wait(0.01) is None and (not os.path.exists(log_of(programs)) or not programs.log):
        pass

    run.kill(signal.SIGUSR1)
    outcome = run.wait(10)

    assert outcome is not None
    assert outcome.exit == {"code": 3, "signal": None, "reason": "exited"}
    assert programs.log.splitlines()[0] == "ready"
    run.kill(signal.SIGKILL)  # after its end: nothing, and above all nobody else


def log_of(programs: Programs) -> str:
    return str(programs.root / "logs" / "1" / "300.0.log")


# -- command lines -------------------------------------------------------------------------------


def test_a_command_line_runs_where_and_with_what_it_was_enqueued(
    programs: Programs, tmp_path: Path
) -> None:
    kwargs = {
        "cwd": str(tmp_path),
        "env": {"PATH": "/usr/bin:/bin", "COLOUR": "rot"},
        "umask": 0o027,
    }

    outcome = programs.run("exec", "sh", "-c", 'pwd; echo "$COLOUR"; umask', kwargs=kwargs)

    assert outcome.ok
    assert programs.log.split() == [str(tmp_path), "rot", "0027"]


def test_a_command_line_finds_its_program_on_its_own_path(
    programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "mine").chmod(0o755)

    assert programs.run("exec", "mine", kwargs={"env": {"PATH": str(tmp_path)}}).ok


def test_a_command_line_runs_in_a_single_user_spool_only(programs: Programs) -> None:
    outcome = programs.run("exec", "true", settings=Settings(mode="group"))

    assert not outcome.ok
    assert outcome.result["type"] == "UnsafeFile"


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ([], {}, "an exec job without a command"),
        (["true"], {"cwd": "/gone"}, "the directory it was enqueued in is gone: /gone"),
        (["true"], {"cwd": 7}, "an exec job's cwd must be a string"),
        (["true"], {"env": {"A": 1}}, "an exec job's env must be an object of strings"),
        (["true"], {"umask": -1}, "an exec job's umask must be a number from 0 to 511"),
        (
            ["no-such-program"],
            {"env": {"PATH": "/bin"}},
            "no-such-program: No such file or directory",
        ),
        (["true\0"], {}, "an argument with a NUL byte cannot be given to a program"),
        (["true"], {"env": {"A=B": "x"}}, "illegal environment variable name"),
    ],
)
def test_a_command_line_that_cannot_start_says_why(
    programs: Programs, args: list[str], kwargs: dict[str, Any], message: str
) -> None:
    outcome = programs.run("exec", *args, kwargs=kwargs)

    reason = "not found" if "No such file" in message else "not started"
    assert outcome.exit == {"code": None, "signal": None, "reason": reason}
    assert outcome.result["message"].startswith(message)
