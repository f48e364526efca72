"""Manual pages: made of the command tree, current, clean, and in the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from spoolq.cli import manual
from spoolq.cli.tree import verbs
from tests.cli.conftest import REPOSITORY

PAGES = REPOSITORY / "docs" / "man"
OLD = "old: run python -m spoolq.cli.manual docs/man"


def test_the_pages_in_the_repository_are_those_of_the_command_tree() -> None:
    there = {page.name: page.read_text() for page in PAGES.iterdir()}

    assert there == manual.pages(), OLD


def test_what_completion_knows_is_the_command_tree() -> None:
    there = (REPOSITORY / "spoolq" / "cli" / "words.json").read_text()

    assert there == manual.words(), OLD


def test_every_option_of_a_verb_is_in_its_page() -> None:
    pages = manual.pages()

    for path, verb in verbs().items():
        page = pages["-".join(["spoolq", *path.split()]) + ".1"] if not verb.verbs else ""
        if not path or not page:
            continue
        for flag in verb.flags:
            for name in flag.names:
                assert name.replace("-", "\\-") in page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_pages_are_set_without_a_warning() -> None:
    env = {**os.environ, "MANROFFSEQ": ""}

    for page in sorted(PAGES.iterdir()):
        run = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(page)]
        ran = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
        assert ran.stderr == "", page.name
        assert "DESCRIPTION" in ran.stdout


@pytest.mark.slow
def test_the_wheel_has_the_pages_and_what_completion_needs(tmp_path: Path) -> None:
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path)]
    subprocess.run([*wheel, str(REPOSITORY)], check=True)

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as found:
        names = {name.partition(".data/data/")[2] or name for name in found.namelist()}

    assert {f"share/man/man1/{page.name}" for page in PAGES.iterdir()} <= names
    assert "spoolq/cli/words.json" in names
