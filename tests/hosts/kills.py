"""How long a broadcast `kill TERM` takes to reach a job of a worker on another host.

    python -m tests.hosts.kills [REPETITIONS]

From before the broadcast on this host until the job on the other one has written down that it was
sent TERM. Both have the directory, and nothing else in common; the worker obeys at the intervals
it has by default, at a moment that is a different one each time.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spoolq import Spool
from tests.hosts.namespaces import python_on_host
from tests.support import wait_for

JOB = """#!/bin/sh
trap 'touch "$1.told"; exit 3' TERM
touch "$1.begun"
while :; do sleep 0.005; done
"""


@contextmanager
def worker_elsewhere(root: Path) -> Iterator[Spool]:
    """A spool with a worker on another host, for jobs of the task `until-told`."""
    spool = Spool(root, durability="none")
    program = root / "jobs" / "until-told"
    program.write_text(JOB)
    program.chmod(0o755)
    host = python_on_host("tests.hosts.acts:work", str(root))
    try:
        assert host.stdout is not None
        json.loads(host.stdout.readline())
        yield spool
    finally:
        host.kill()
        host.communicate()


def seconds_to_reach(spool: Spool, place: Path) -> float:
    """Start a job there, kill it from here; `place` is a path for what it says."""
    job = spool.enqueue("until-told", [str(place)])
    begun, told = place.with_name(f"{place.name}.begun"), place.with_name(f"{place.name}.told")
    wait_for(begun.exists)
    # The worker looks for commands twice a second: not always just after it has begun a job.
    threading.Event().wait(random.uniform(0, 1))
    start = time.monotonic()
    assert spool.broadcast("kill", ["TERM", job.id])
    while not told.exists():
        assert time.monotonic() - start < 30, "the job was never told"
        threading.Event().wait(0.001)
    took = time.monotonic() - start
    wait_for(lambda: (info := job.info()) is not None and info.state == "failed")
    return took


def main() -> None:
    """Measure, and say the middle and the worst."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "spool"
        with worker_elsewhere(root) as spool:
            took = [seconds_to_reach(spool, root.with_name(f"{n}")) for n in range(repetitions)]
    print(f"{repetitions} kills: median {statistics.median(took):.2f} s, worst {max(took):.2f} s")


if __name__ == "__main__":
    main()
