"""`compat`: the one-liners of other queues, typed into real shells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spoolq.cli.tree import verbs
from tests.cli.conftest import REPOSITORY, Shell

pytestmark = pytest.mark.slow

SCRIPTS = REPOSITORY / "spoolq" / "cli" / "compat"
SHELLS = ("sh", "bash")
# In place of spoolq: says with which words it was called.
_SAYS = "#!/bin/sh\nprintf '<%s>' \"$@\"\nprintf '\\n'\n"


def put_program(place: Path, text: str) -> str:
    """A `spoolq` for a PATH."""
    programs = place / "programs"
    programs.mkdir()
    (programs / "spoolq").write_text(text)
    (programs / "spoolq").chmod(0o755)
    return str(programs)


def called(place: Path, sh: str, habit: str, line: str) -> str:
    """The words that a line hands to spoolq, `<a><b>` for each call."""
    path = put_program(place, _SAYS)
    script = f'. "{SCRIPTS}/{habit}.sh"\n{line}\n'
    env = {"PATH": f"{path}:/usr/bin:/bin"}
    return subprocess.run(
        [sh, "-c", script], env=env, capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("sh", SHELLS)
@pytest.mark.parametrize(
    ("habit", "line", "words"),
    [
        ("nq", "nq make -j4", "<add><--><make><-j4>"),
        ("nq", "nq -c make", "<add><--rm><--><make>"),
        ("nq", "nq -t 7", "<is><done><7>"),
        ("nq", "nqtail 7", "<logs><-f><7>"),
        ("ts", "ts", "<list>"),
        ("ts", "ts make 'a b'", "<add><make><a b>"),
        ("ts", "ts -nf gcc x.c", "<add><-f><gcc><x.c>"),
        ("ts", "ts -d make", "<add><--after><last><make>"),
        ("ts", "ts -D 3 -L x make", "<add><--after><3><-L><x><--><make>"),
        ("ts", "ts -c 3", "<logs><3>"),
        ("ts", "ts -t", "<logs><-f><last>"),
        ("ts", "ts -k 3", "<kill><3>"),
        ("ts", "ts -C", "<clean><state:finished><state:failed>"),
        ("ts", "ts -S 4", "<queue><set><default><--parallel><4>"),
        ("ts", "ts -u 9", "<retry><-p><1000><9>"),
        ("ts", "ts -r 9", "<remove><9>"),
        ("ts", "tsp -i 9", "<show><9>"),
        (
            "pueue",
            "pueue add -g gpu -a 3 -l x -- make 'a b'",
            "<add><-g><gpu><-a><3><-l><x><--><make><a b>",
        ),
        ("pueue", "pueue add -s -o 5 -- 'a | b'", "<add><--hold><-o><5><-c><a | b>"),
        ("pueue", "pueue add ls", "<add><-c><ls>"),
        (
            "pueue",
            "pueue add --working-directory /x ls -l",
            "<add><--cwd></x><--><ls><-l>",
        ),
        ("pueue", "pueue", "<list>"),
        ("pueue", "pueue pause 4", "<pause><4>"),
        ("pueue", "pueue start 4", "<resume><4>"),
        ("pueue", "pueue restart -i --all-failed", "<retry><state:failed>"),
        ("pueue", "pueue stash 4 5", "<hold><4><5>"),
        ("pueue", "pueue enqueue 4", "<release><4>"),
        ("pueue", "pueue parallel 3 -g g", "<queue><set><g><--parallel><3>"),
        ("pueue", "pueue log 1 2", "<logs><1>\n<logs><2>"),
        ("pueue", "pueue follow 1", "<logs><-f><1>"),
        ("pueue", "pueue clean", "<clean><state:finished><state:failed>"),
    ],
    ids=str,
)
def test_a_habit_is_handed_to_spoolq(
    tmp_path: Path, sh: str, habit: str, line: str, words: str
) -> None:
    assert called(tmp_path, sh, habit, line) == f"{words}\n"


@pytest.mark.parametrize("habit", ["nq", "ts", "pueue"])
def test_what_is_printed_is_the_script(shell: Shell, habit: str) -> None:
    assert shell.run("compat", habit).out == (SCRIPTS / f"{habit}.sh").read_text()


def test_an_unknown_queue_is_refused(shell: Shell) -> None:
    ran = shell.run("compat", "pueu")

    assert (ran.code, "did you mean 'pueue'?" in ran.err) == (2, True)


class Real:
    """Lines typed into a shell that has the functions, with the real spoolq behind them."""

    def __init__(self, shell: Shell, place: Path, sh: str, habit: str) -> None:
        path = put_program(place, f'#!/bin/sh\nexec {sys.executable} -m spoolq "$@"\n')
        self._env = {**shell.env, "PATH": f"{path}:{shell.env['PATH']}"}
        self._sh, self._habit = sh, habit

    def run(self, line: str, **env: str) -> tuple[int, str]:
        script = f'eval "$(spoolq compat {self._habit})"\n{line}\n'
        run = [self._sh, "-c", script]
        ran = subprocess.run(
            run, env={**self._env, **env}, capture_output=True, text=True, check=False
        )
        return ran.returncode, ran.stdout


@pytest.mark.parametrize("sh", SHELLS)
def test_nq_as_its_users_know_it(shell: Shell, tmp_path: Path, sh: str) -> None:
    nq = Real(shell, tmp_path, sh, "nq")

    assert nq.run("nq echo 'a  b'; nq -q false; nq -c true") == (0, "1\n3\n")
    assert nq.run("nq -t 1") == (1, "")
    shell.ok("process")
    assert nq.run("nq -t 1 && nq -t && nq -w") == (0, "")
    assert nq.run("nqtail 1") == (0, "a  b\n")
    assert nq.run("nq -w 2")[0] == 1
    assert shell.run("show", "3").code == 3  # -c: removed once it has finished


def test_nqdir_names_the_spool(shell: Shell, tmp_path: Path) -> None:
    nq = Real(shell, tmp_path, "sh", "nq")

    assert nq.run("nq true", NQDIR=str(tmp_path / "other")) == (0, "1\n")
    assert (tmp_path / "other" / "FORMAT").exists()
    assert not shell.root.exists()


@pytest.mark.parametrize("sh", SHELLS)
def test_ts_as_its_users_know_it(shell: Shell, tmp_path: Path, sh: str) -> None:
    ts = Real(shell, tmp_path, sh, "ts")

    assert ts.run("ts sh -c 'echo hi; exit 7'; ts -d echo then") == (0, "1\n2\n")
    shell.ok("process")
    assert ts.run("ts -c 1") == (0, "hi\n")
    assert ts.run("ts -w 1")[0] == 7
    assert ts.run("ts -s 2") == (0, "blocked\n")
    assert ts.run('cat "$(ts -o 1)"') == (0, "hi\n")
    assert ts.run("ts -U 3-5")[0] == 2
    assert ts.run("ts -r 2") == (0, "")


def test_pueue_as_its_users_know_it(shell: Shell, tmp_path: Path) -> None:
    pueue = Real(shell, tmp_path, "sh", "pueue")

    assert pueue.run("pueue add -g gpu -l x -- 'echo a | tr a b'") == (0, "1\n")
    assert pueue.run("pueue add -g gpu -a 1 -- printf '%s\\n' 'x  y'") == (0, "2\n")
    shell.ok("process", "-q", "gpu")
    assert pueue.run("pueue log 1 2") == (0, "b\nx  y\n")
    assert shell.json("show", "1")["notes"] == {"label": "x"}
    assert pueue.run("pueue no-such")[0] == 2


def test_every_verb_that_a_habit_needs_is_there() -> None:
    known = {path.split()[0] for path in verbs() if path}
    text = "".join((SCRIPTS / f"{habit}.sh").read_text() for habit in ("nq", "ts", "pueue"))
    used = {
        line.split("spoolq ", 1)[1].split()[0]
        for line in text.splitlines()
        if "spoolq " in line and not line.lstrip().startswith(("#", "printf"))
    }

    assert {verb for verb in used if verb.isalpha()} - known == set()
