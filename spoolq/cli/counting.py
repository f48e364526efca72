"""The spool as a whole: `stats` and `workers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import typer

from spoolq.backend import Backend
from spoolq.cli import options
from spoolq.cli.colours import paint
from spoolq.cli.context import Opened, opened
from spoolq.cli.formats import Listing, chosen, hint, terminal_width
from spoolq.cli.output import digits, escape, iso, many, print_json
from spoolq.cli.tables import Column, table
from spoolq.files.fs import mounted
from spoolq.lookup import workers as all_workers
from spoolq.model import JSON, JobInfo, WorkerInfo
from spoolq.version import VERSION
from spoolq.why import age, live_workers, serves, slots

RECENT: Final = 500  # jobs whose ends are looked at for a rate
WINDOW: Final = 600.0  # seconds that a rate looks back
_BARS: Final = "▁▂▃▄▅▆▇█"
_WORKER_NAMES: Final = (
    "WORKER", "HOST", "PID", "STATE", "JOBS", "SLOTS", "QUEUES", "STARTED", "NOTIFIED", "CLOCK",
    "VERSION",
)  # fmt: skip
_COUNTS: Final = ("ready", "delayed", "blocked", "held", "active", "failed")


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("stats")(stats)
    app.command("workers")(workers)
    app.command("ps", hidden=True)(workers)


def stats(
    context: typer.Context,
    output: options.Output = None,
    no_header: options.NoHeader = False,
    as_json: options.AsJson = False,
) -> None:
    """Count jobs by queue, workers and locks; how many ended lately.

    Off a terminal Minion's counters, a name and a number a line; `-o tsv` has the queues.
    """
    form = chosen(output, as_json=as_json)
    spool = opened(context)
    counted = spool.backend.stats()
    if form == "tsv" and output in (None, "table"):
        for name, value in counted.items():
            print(f"{name}\t{value}")
        return
    overview = Overview(spool.backend, counted)
    if form == "table":
        print("\n".join(_shown(spool, overview)))
    elif form == "json":
        print_json({**counted, "queues": overview.values()})
    else:
        overview.listing().print(form, header=not no_header)


class Overview:
    """The queues of a spool, and what became of the newest jobs."""

    def __init__(self, backend: Backend, counted: dict[str, JSON]) -> None:
        """Reads what it needs: names of waiting jobs, and the newest ones that have ended."""
        self.counted = counted
        self.now = backend.now()
        self.workers = all_workers(backend)
        self.live = live_workers(self.workers, self.now, backend.missing_after)
        self.queues: dict[str, dict[str, int]] = {}
        for queue, views in sorted(backend.queues().items()):
            self.queues[queue] = {**dict.fromkeys(_COUNTS, 0), **views}
        for state in ("active", "failed"):
            for job in backend.list_jobs(0, RECENT, states=[state]).rows:
                row = self.queues.setdefault(job.queue, dict.fromkeys(_COUNTS, 0))
                row[state] += 1
        self.ended: list[JobInfo] = backend.list_jobs(0, RECENT, states=["finished"]).rows
        for job in self.ended:
            if self.now - (job.finished or 0) <= WINDOW:
                self.queues.setdefault(job.queue, dict.fromkeys(_COUNTS, 0))
        self.oldest = {queue: self._oldest(backend, queue) for queue in self.queues}
        self.failed_a_day, self.finished_a_day = (
            sum(hour[f"{state}_jobs"] for hour in backend.history()["daily"])
            for state in ("failed", "finished")
        )

    def _oldest(self, backend: Backend, queue: str) -> float | None:
        """Seconds since the oldest job of a queue that is ready, among the newest, was made."""
        if not self.queues[queue]["ready"]:
            return None
        rows: list[JobInfo] = backend.list_jobs(0, RECENT, states=["inactive"], queues=[queue]).rows
        made = [max(job.created, job.delayed, job.retried or 0) for job in rows]
        due = [at for at in made if at <= self.now]
        return self.now - min(due) if due else None

    def minutes(self, queue: str | None) -> list[int]:
        """How many jobs finished in each of the last ten minutes, the last one last."""
        found = [0] * 10
        for job in self.ended:
            back = self.now - (job.finished or 0)
            if 0 <= back < WINDOW and queue in (None, job.queue):
                found[9 - int(back // 60)] += 1
        return found

    def values(self) -> list[JSON]:
        """The queues for programs."""
        return [
            {
                "queue": queue,
                **counts,
                "oldest": self.oldest[queue],
                "finished_last_10_min": sum(self.minutes(queue)),
                "workers": sum(serves(worker, queue) for worker in self.live),
            }
            for queue, counts in self.queues.items()
        ]

    def listing(self) -> Listing:
        """The queues in every form."""
        names = ("QUEUE", *(name.upper() for name in _COUNTS), "OLDEST", "LAST_10_MIN")

        def cells() -> list[list[str]]:
            return [
                [
                    escape(queue),
                    *(str(counts[name]) for name in _COUNTS),
                    "" if self.oldest[queue] is None else f"{self.oldest[queue]:.3f}",
                    str(sum(self.minutes(queue))),
                ]
                for queue, counts in self.queues.items()
            ]

        return Listing((), list, names, cells, self.values, lambda: [*map(escape, self.queues)])

    def table(self, width: int) -> list[str]:
        """The queues for people, with a line that sums them up."""
        columns = (
            Column("QUEUE", least=8),
            Column("READY", right=True),
            Column("DELAYED", right=True, rank=2, empty=("",)),
            Column("BLOCKED", right=True, rank=3, empty=("",)),
            Column("HELD", right=True, rank=3, empty=("0", "")),
            Column("ACTIVE", right=True),
            Column("FAILED", right=True, rank=1, empty=("",)),
            Column("OLDEST", right=True, rank=4),
            Column("LAST 10 MIN", rank=5),
        )
        rows = [
            [
                escape(queue),
                *(digits(counts[name]) for name in _COUNTS),
                "" if self.oldest[queue] is None else age(self.oldest[queue] or 0),
                self._rate(queue),
            ]
            for queue, counts in self.queues.items()
        ]
        total = {name: sum(counts[name] for counts in self.queues.values()) for name in _COUNTS}
        total["failed"] = self.counted["failed_jobs"]
        waited = [seconds for seconds in self.oldest.values() if seconds is not None]
        last = age(max(waited)) if waited else ""
        rate = " " * 10 + f"{_per_minute(sum(self.minutes(None))):>10}"
        rows.append(["total", *(digits(total[name]) for name in _COUNTS), last, rate])
        return table(columns, rows, width)

    def _rate(self, queue: str) -> str:
        served = any(serves(worker, queue) for worker in self.live)
        minutes = self.minutes(queue)
        if not served and not sum(minutes):
            return "no worker"
        return spark(minutes) + f"{_per_minute(sum(minutes)):>10}"


def spark(numbers: Sequence[int]) -> str:
    """A row of bars: `▁▁▃▅█`."""
    most = max([*numbers, 1])
    return "".join(_BARS[(len(_BARS) - 1) * number // most] for number in numbers)


def percentile(numbers: list[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _shown(spool: Opened, overview: Overview) -> list[str]:
    disk = " ".join(mounted(spool.directory)) or "unknown disk"
    lines = [f"{escape(spool.directory)}  {escape(disk)}  format 1  spoolq {VERSION}"]
    if overview.queues:
        lines += overview.table(terminal_width())
    lines += ["", *_summary(overview), *_attention(spool.backend)]
    return lines


def _attention(backend: Backend) -> list[str]:
    """A line about what `doctor` finds at a glance, if it finds anything."""
    from spoolq.doctor import count, examine  # for this screen
    from spoolq.files.store import FileBackend

    if not isinstance(backend, FileBackend):
        return []
    sections = list(examine(backend, quick=True))
    problems, warnings = count(sections, "problem"), count(sections, "warning")
    if not problems and not warnings:
        return []
    said = f"{many(problems, 'problem')}, {many(warnings, 'warning')}"
    return [f"needs attention: spoolq doctor ({said} at a glance)"]


def _summary(overview: Overview) -> list[str]:
    finished, failed = overview.finished_a_day, overview.failed_a_day
    share = 100 * failed / max(1, finished + failed)
    day = f"{digits(finished)} finished   {digits(failed)} failed ({share:.2f} %)"
    ran = [
        max(0.0, job.finished - job.started)  # a name has microseconds, a record has all of it
        for job in overview.ended
        if job.finished is not None and job.started is not None
    ]
    if ran:
        day += f"   run p50 {percentile(ran, 50):.1f}s p95 {percentile(ran, 95):.1f}s"
    silent = len(overview.workers) - len(overview.live)
    busy = sum(len(worker.jobs) for worker in overview.live)
    room = sum(slots(worker) for worker in overview.live)
    said = f"{len(overview.live)} live"
    if silent:
        said += f", {silent} silent"
    if overview.live:
        said += f", {busy} of {room} slots busy"
    return [
        f"last 24 h   {day}",
        f"workers     {said}    locks {overview.counted['active_locks']}",
    ]


def workers(
    context: typer.Context,
    output: options.Output = None,
    no_header: options.NoHeader = False,
    as_json: options.AsJson = False,
) -> None:
    """List the registered workers, and whether they are alive."""
    form = chosen(output, as_json=as_json)
    backend = opened(context).backend
    now, found = backend.now(), all_workers(backend)
    live = live_workers(found, now, backend.missing_after)
    newest = max((_version(worker) for worker in found), key=_numbers, default="")

    def state(worker: WorkerInfo) -> str:
        return "silent" if worker not in live else "busy" if worker.jobs else "idle"

    def people() -> list[list[str]]:
        return [
            [
                str(worker.id),
                escape(worker.host),
                str(worker.pid),
                state(worker),
                f"{len(worker.jobs) if worker in live else '?'}/{slots(worker)}",
                escape(",".join(_queues(worker))),
                age(now - worker.started),
                age(now - worker.notified),
                _clock(worker),
                _version(worker) + (" !" if _version(worker) not in ("", newest) else ""),
                escape(",".join(map(str, worker.status.get("tasks", ())))),
            ]
            for worker in found
        ]

    def programs() -> list[list[str]]:
        return [
            [
                str(worker.id),
                escape(worker.host),
                str(worker.pid),
                state(worker),
                str(len(worker.jobs)),
                str(slots(worker)),
                escape(",".join(_queues(worker))),
                iso(worker.started),
                iso(worker.notified),
                str(worker.status.get("clock", "")),
                _version(worker),
            ]
            for worker in found
        ]

    Listing(
        (
            Column("WORKER"),
            Column("HOST", least=8),
            Column("PID", right=True),
            Column("STATE", paint=paint),
            Column("SLOTS", right=True, rank=1),
            Column("QUEUES", least=8),
            Column("UP", right=True, rank=3),
            Column("BEAT", right=True, rank=2),
            Column("CLOCK", right=True, rank=4),
            Column("VERSION", rank=5),
            Column("TASKS", least=8, rank=4),
        ),
        people,
        _WORKER_NAMES,
        programs,
        lambda: [_value(worker, state(worker)) for worker in found],
        lambda: [str(worker.id) for worker in found],
    ).print(form, header=not no_header)
    for worker in found:
        if worker not in live and form == "table":
            jobs = len(worker.jobs)
            kept = f"; the next repair fails its {jobs} jobs, or retries them" if jobs else ""
            hint(f"silent: no heartbeat of {worker.id} for {age(now - worker.notified)}{kept}")
    if form == "table" and any(_version(worker) not in ("", newest) for worker in found):
        hint("!: another version than the newest one here")


def _value(worker: WorkerInfo, state: str) -> dict[str, JSON]:
    value: dict[str, Any] = {**asdict(worker), "state": state}
    for name in ("started", "notified"):
        value[f"{name}_at"] = iso(value[name])
    return value


def _version(worker: WorkerInfo) -> str:
    """The version of spoolq that a worker of the command line runs; empty for others."""
    return escape(str(worker.status.get("version", "")))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isascii() and part.isdecimal()]


def _clock(worker: WorkerInfo) -> str:
    """How far the clock of a worker's host was from the spool's when it started."""
    ahead = worker.status.get("clock")
    if not isinstance(ahead, int | float):
        return ""
    return f"{ahead:+.0f}s" if abs(ahead) >= 1 else "0s"


def _queues(worker: WorkerInfo) -> list[str]:
    return [str(queue) for queue in worker.status.get("queues", ["default"])]


def _per_minute(ten_minutes: int) -> str:
    return f"{ten_minutes / 10:.0f}/min" if ten_minutes >= 10 else f"{ten_minutes}/10min"
