"""A host on which everything goes wrong: workers are killed, stopped for too long, and go on.

`python -m tests.hosts.chaos` is the first process of a host in its own namespaces. It keeps some
workers alive and mistreats them until the file `calm` appears, then it lets them work, until the
file `stop` does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

# What a host runs as its worker. It is told everything by its environment.
WORKER: Final = (sys.executable, "-m", "tests.hosts.app")
JUMP: Final = 3600.0  # seconds by which the clock of a host is set, at most


@dataclass
class Victim:
    """A worker, and since when it is stopped."""

    process: subprocess.Popen[bytes]
    stopped: list[int] = field(default_factory=list)
    until: float = 0.0
    then: int = signal.SIGCONT


class Host:
    """Keeps workers alive, or not."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._random = random.Random(told["seed"])
        self._victims = [self._start() for _ in range(told["workers"])]
        self.counts: Counter[str] = Counter()

    def _start(self) -> Victim:
        env = {**os.environ, "CHAOS": json.dumps(self._told)}
        with open(self._told["log"], "ab") as log:
            return Victim(subprocess.Popen(WORKER, env=env, stderr=log))

    def run(self) -> None:
        """Chaos, then calm, then the end."""
        directory = Path(self._told["diary"]).parent
        pause = threading.Event()
        while not (directory / "calm").exists():
            pause.wait(self._random.uniform(0.05, 2 * self._told["pause"]))
            self._strike(self._random.choice(self._victims))
            self._keep()
        with suppress(OSError):
            os.unlink(self._told["clock"])
        while not (directory / "stop").exists():
            pause.wait(0.05)
            self._keep()
        self._end()
        print(json.dumps(self.counts), flush=True)

    def _strike(self, victim: Victim) -> None:
        if victim.stopped:
            return
        what = self._random.choice(("kill", "kill", "stop", "freeze", "stop and kill", "clock"))
        self.counts[what] += 1
        if what == "kill":
            victim.process.kill()
        elif what == "clock":
            off = self._random.uniform(-JUMP, JUMP)
            new = Path(f"{self._told['clock']}.{os.getpid()}")
            new.write_text(str(off))
            new.rename(self._told["clock"])
        else:
            # A frozen machine stops the jobs too; a stopped worker leaves them running.
            jobs = _children(victim.process.pid) if what == "freeze" else []
            victim.stopped = [victim.process.pid, *jobs]
            victim.until = time.monotonic() + self._told["missing_after"] * 1.3
            victim.then = signal.SIGKILL if what == "stop and kill" else signal.SIGCONT
            _send(victim.stopped, signal.SIGSTOP)

    def _keep(self) -> None:
        """Let stopped ones go on when their time is over; replace the dead."""
        for place, victim in enumerate(self._victims):
            if victim.stopped and time.monotonic() >= victim.until:
                _send(victim.stopped, victim.then)
                victim.stopped = []
            if victim.process.poll() is not None:
                if victim.process.returncode != -signal.SIGKILL:
                    self.counts["ended by itself"] += 1
                self._victims[place] = self._start()

    def _end(self) -> None:
        for victim in self._victims:
            _send([*victim.stopped, victim.process.pid], signal.SIGCONT)
            victim.process.terminate()
        for victim in self._victims:
            try:
                victim.process.wait(20)
            except subprocess.TimeoutExpired:
                self.counts["did not end"] += 1


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


# -- the books -----------------------------------------------------------------------------------


class Attempt(NamedTuple):
    """One run of a job, by what it wrote down. `end` is None when it did not come so far."""

    retries: int
    start: int
    end: int | None


class Books:
    """What the diary says."""

    def __init__(self, diary: Path) -> None:
        lines = [line.split() for line in diary.read_text().splitlines()]
        ends = {(w[1], w[2], w[3]): int(w[4]) for w in lines if w[0] == "end"}
        self.runs: dict[int, list[Attempt]] = defaultdict(list)
        self.accepted: Counter[int] = Counter()
        for what, id_, retries, pid, at in lines:
            if what == "start":
                end = ends.get((id_, retries, pid))
                self.runs[int(id_)].append(Attempt(int(retries), int(at), end))
            elif what == "done":
                self.accepted[int(id_)] += 1

    @property
    def effects(self) -> int:
        return sum(map(len, self.runs.values()))

    def overlapping(self) -> set[int]:
        """Jobs of which two runs were under way at the same time."""
        return {
            id_
            for id_, runs in self.runs.items()
            for before, after in _pairs(sorted(runs, key=lambda run: run.start))
            if before.end is not None and before.end > after.start
        }


def _pairs(runs: list[Attempt]) -> list[tuple[Attempt, Attempt]]:
    return [(a, b) for n, a in enumerate(runs) for b in runs[n + 1 :]]


def reported(incidents: Path) -> set[int]:
    """The jobs that incidents are about."""
    found = set()
    for path in incidents.iterdir():
        entry = json.loads(path.read_text())
        found |= {entry["job"]} if "job" in entry else set(entry["jobs"])
    return found


if __name__ == "__main__":
    Host(json.loads(sys.argv[1])).run()
