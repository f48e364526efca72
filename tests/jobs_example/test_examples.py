"""Each example, run as a job is run."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from spoolq.settings import Settings
from tests.jobs_example.conftest import EXAMPLES
from tests.runners.programs import Programs


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir()))
def test_an_example_may_run_and_says_how_it_is_called(programs: Programs, example: str) -> None:
    mode = (EXAMPLES / example).stat().st_mode

    outcome = programs.run(example.removesuffix(".job"))

    assert mode & stat.S_IXUSR
    assert not mode & 0o022
    assert not outcome.ok
    assert example.removesuffix(".job") in outcome.result["output"]


# -- notify --------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="sends with curl")
def test_notify_sends_to_its_url(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as (url, received):
        monkeypatch.setenv("NOTIFY_URL", f"{url}/message?token=a%20b")

        outcome = programs.run("notify", "Title", "@This is a message!\n<&", "9")

    assert outcome.ok, outcome
    assert received == [
        {
            "path": "/message?token=a%20b",
            "title": "Title",
            "message": "@This is a message!\n<&",
            "priority": "9",
        }
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="sends with curl")
def test_notify_fails_when_its_url_refuses(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(status=403) as (url, _):
        monkeypatch.setenv("NOTIFY_URL", url)

        outcome = programs.run("notify", "Title")

    assert not outcome.ok
    assert "403" in outcome.result["output"]


def test_notify_appends_to_a_log_where_there_is_nothing_else(
    programs: Programs, tmp_path: Path
) -> None:
    log = tmp_path / "notifications.log"
    settings = Settings(env={"NOTIFY_LOG": str(log)})

    for title in ("One", "Two"):
        assert programs.run("notify", title, "This is a message!", "9", settings=settings).ok

    lines = log.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "[9] One: This is a message!",
        "[9] Two: This is a message!",
    ]


def test_notify_shows_a_window_where_there_is_a_display(programs: Programs, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    desktop = tmp_path / "bin" / "notify-send"
    desktop.parent.mkdir()
    desktop.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{shown}\n')
    desktop.chmod(0o755)
    path = f"{desktop.parent}:/usr/bin:/bin"

    settings = Settings(env={"PATH": path, "DISPLAY": ":0"})
    assert programs.run("notify", "--Title", "hi", "9", settings=settings).ok

    assert shown.read_text().splitlines() == ["--urgency=critical", "--", "--Title", "hi"]


# -- nightly-backup ------------------------------------------------------------------------------


def test_a_backup_holds_everything_and_old_ones_rotate(programs: Programs, tmp_path: Path) -> None:
    source, target = tmp_path / "my papers", tmp_path / "backup"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("one")
    target.mkdir()
    old = [target / f"my papers-2020010{day}-030000.tar.gz" for day in (1, 2, 3)]
    others = [target / "my papers-notes.tar.gz", target / "mine-20200101-030000.tar.gz"]
    for path in (*old, *others):
        path.write_text("old")

    outcome = programs.run("nightly-backup", str(source), str(target), "2")

    assert outcome.ok, outcome
    assert (outcome.result["kept"], outcome.result["removed"]) == (2, 2)
    (new,) = set(target.iterdir()) - {*old, *others}
    assert set(target.iterdir()) == {new, old[2], *others}
    assert outcome.result["bytes"] == new.stat().st_size
    with tarfile.open(new) as archive:
        assert archive.extractfile("./my papers/sub/a").read() == b"one"  # type: ignore[union-attr]


def test_a_backup_that_fails_removes_nothing(programs: Programs, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    target.mkdir()
    old = target / "papers-20200101-030000.tar.gz"
    old.write_text("old")

    outcome = programs.run("nightly-backup", str(tmp_path / "papers"), str(target), "1")

    assert not outcome.ok
    assert list(target.iterdir()) == [old]


# -- checksum-manifest ---------------------------------------------------------------------------


def test_a_manifest_is_what_sha256sum_reads_and_reports_changes(
    programs: Programs, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "b c").write_text("two")
    (data / "a").write_text("one")
    (data / "gone").write_text("x")
    first = programs.run("checksum-manifest", str(data))
    (data / "a").write_text("changed")
    (data / "gone").unlink()
    (data / "ü").write_text("new")

    second = programs.run("checksum-manifest", str(data))

    assert first.result["added"] == ["a", "gone", "sub/b c"]
    assert second.result == {
        "files": 3,
        "bytes": 13,
        "added": ["ü"],
        "changed": ["a"],
        "removed": ["gone"],
    }
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=data, check=True)


def test_a_manifest_keeps_names_that_are_no_text(programs: Programs, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Path(os.fsdecode(os.fsencode(data) + b"/\xff")).write_text("odd")

    outcome = programs.run("checksum-manifest", str(data), str(tmp_path / "sums"))

    assert outcome.ok, outcome
    assert outcome.result["added"] == ["?"]
    assert b"  \xff\n" in (tmp_path / "sums").read_bytes()


# -- disk-usage, csv-summary ---------------------------------------------------------------------


def test_disk_usage_reports_and_fails_above_its_limit(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 100_000)

    fine = programs.run("disk-usage", str(tmp_path), "100")
    assert fine.ok, fine
    assert fine.result["free_kib"] >= 0
    assert "./big" in programs.log

    full = programs.run("disk-usage", str(tmp_path), "-1")
    assert not full.ok
    assert "the limit is -1 %" in full.result["output"]


def test_a_csv_file_is_summarised(programs: Programs, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text('name,height,"odd, name"\nann,1.5,3\nbob,,4\neve,2.5,nan\n')

    outcome = programs.run("csv-summary", str(table))

    assert outcome.ok, outcome
    assert outcome.result == {
        "rows": 3,
        "columns": {
            "height": {"count": 2, "min": 1.5, "mean": 2.0, "max": 2.5},
            "odd, name": {"count": 2, "min": 3.0, "mean": 3.5, "max": 4.0},
        },
    }


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server on this host that keeps the form fields it is sent."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            fields = {"path": self.path}
            for part in BytesParser().parsebytes(head + body).get_payload():
                name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
                fields[str(name)] = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
            received.append(fields)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()
