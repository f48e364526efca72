"""`python -m tests.benchmarks`: run the suites, print the table, write the JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.benchmarks import cli, enqueue, minion, runners, scale, start, worker
from tests.benchmarks.disk import spread_out
from tests.benchmarks.peers import postgres
from tests.benchmarks.peers.queues import note_on_stderr, queues
from tests.benchmarks.processes import Helper
from tests.benchmarks.report import Row, as_json, table
from tests.benchmarks.setting import Setting

SUITES: Mapping[str, Callable[[Setting], list[Row]]] = {
    "enqueue": enqueue.one_by_one,
    "typed": enqueue.typed,
    "batch": enqueue.batch,
    "minion": minion.phases,
    "queues": lambda setting: queues(setting, note_on_stderr),
    "scale": scale.scale,
    "worker": worker.worker,
    "runners": runners.runners,
    "cli": cli.cli,
    "start": start.start,
    "lines": start.lines,
}
PEERS_ONLY = {"queues"}
WITH_MINION = {"enqueue", "minion", "worker"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what was asked for; missed goals are shown, they are no error."""
    options = _parser().parse_args(argv)
    names = options.only or [n for n in SUITES if options.peers or n not in PEERS_ONLY]
    rows: list[Row] = []
    with (
        _directory(options.dir) as root,
        _minion(root, wanted=options.peers and bool(WITH_MINION & set(names))) as helper,
    ):
        for name in names:
            begin = time.monotonic()
            print(f"{name} …", file=sys.stderr, flush=True)
            place = os.path.join(root, name)
            os.mkdir(place)
            spread_out(place)
            rows += SUITES[name](Setting(place, options.quick, helper))
            print(f"  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": _machine(), "rows": as_json(rows)}, file, indent=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, under a minute")
    parser.add_argument("--peers", action="store_true", help="Minion and other queues as well")
    parser.add_argument("--only", nargs="+", choices=list(SUITES), help="these suites")
    parser.add_argument("--dir", help="the directory (and so the disk) to measure in")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    return parser


@contextmanager
def _directory(base: str | None) -> Iterator[str]:
    root = tempfile.mkdtemp(prefix="spoolq-benchmarks-", dir=base)
    # PostgreSQL runs as another user and has to get through to its own directory.
    os.chmod(root, 0o711)
    spread_out(root)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _minion(root: str, *, wanted: bool) -> Iterator[Helper | None]:
    if not wanted:
        yield None
        return
    try:
        with postgres.minion(root) as helper:
            yield helper
    except postgres.Missing as missing:
        print(f"  {missing} is not installed: Minion left out", file=sys.stderr)
        yield None


def _machine() -> dict[str, object]:
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
