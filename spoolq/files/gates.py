"""Gates: what a job with a unique key or with limits needs before it may start.

A job that cannot pass lies under a parent that is none, one number for each gate, like a child
that waits: claimers do not see it. Whoever leaves a gate wakes as many as may pass now. Both sides
store first and list then, as parents and children do; an alarm every so often, and the end of a
period, wake those whom nobody woke.
"""

from __future__ import annotations

from spoolq.files import names
from spoolq.files.fs import Filesystem
from spoolq.files.limits import Limits
from spoolq.files.uniques import Uniques
from spoolq.gates import (
    Gate,
    Mark,
    described,
    gates_of,
    key_of,
    limits_of,
    mark_of,
    running_key_of,
)
from spoolq.states import JSON
from spoolq.transitions import Record


def is_gated(record: Record) -> bool:
    """Whether a job passes any gate: most do not, and pay nothing."""
    return "unique" in record or "limits" in record


class Gates:
    """Lets jobs in and out."""

    def __init__(self, fs: Filesystem, uniques: Uniques, limits: Limits) -> None:
        self._fs = fs
        self._uniques = uniques
        self._limits = limits

    def blocking(self, record: Record, now: float) -> Gate | None:
        """The first gate that this job cannot pass now. A look: others may pass before it."""
        running = running_key_of(record)
        if running is not None and self._in_the_way(running, record["id"], now):
            return running
        for gate in limits_of(record):
            if len(self._limits.taken(gate, now)) >= gate.limit:
                return gate
        return None

    def _in_the_way(self, running: Gate, id: int, now: float) -> list[int]:
        """The jobs that hold the key this one needs to run, or had it and still run."""
        mark = self._uniques.present(running)
        if mark is None:
            return []
        if mark.id != id:
            return [mark.id] if self._uniques.counts(running, mark, now) else []
        return [other for other in mark.replaces if self._uniques.state(other, now) == "active"]

    def enter(self, record: Record, epoch: int, now: float) -> bool:
        """Pass every gate, for a job that was just claimed; False, with none passed, when one is
        shut. A guarantee: of any number of claimers no more than may run get in."""
        running = running_key_of(record)
        if running is not None and not self._start_running(running, record, now):
            return False
        entered: list[Gate] = []
        for gate in limits_of(record):
            if not self._limits.enter(gate, record["id"], epoch, now):
                for passed in entered:
                    self._limits.leave(passed, record["id"], epoch, now)
                return False
            entered.append(gate)
        return True

    def _start_running(self, running: Gate, record: Record, now: float) -> bool:
        # The job is active by now, so the mark counts as soon as it is there.
        mine = Mark(record["id"], names.nonce())
        there = self._uniques.present(running)
        if there is None or there.id != record["id"]:
            there = self._uniques.take(running, mine, now)
        if there.id != record["id"] or self._in_the_way(running, record["id"], now):
            return False
        self._uniques.remove_replaced(there, now)
        return True

    def is_replaced(self, record: Record, now: float) -> bool:
        """Whether another job has the key of this one now, and is to run in its place."""
        running = running_key_of(record)
        mark = None if running is None else self._uniques.holder(running, now)
        return mark is not None and record["id"] in mark.replaces

    def leave(self, record: Record, epoch: int, now: float, *, ended: bool) -> None:
        """A claim is over, or a job. Not `ended`, the job is inactive again and keeps its key."""
        for gate in limits_of(record):
            if gate.period is None:
                self._limits.leave(gate, record["id"], epoch, now)
        if ended and "unique" in record and record["unique"]["mode"] != "period":
            for key in {key_of(record), running_key_of(record) or key_of(record)}:
                self._uniques.drop(key, record["id"])

    def forget(self, record: Record) -> None:
        """The job was removed: whatever it holds, it holds no more."""
        if "unique" in record:
            for key in {key_of(record), running_key_of(record) or key_of(record)}:
                self._uniques.drop(key, record["id"])

    def hold_again(self, record: Record, now: float) -> int | None:
        """Put the mark of a job that has ended, and is made inactive again, back on its key.

        The id of another job that holds the key, if one does. To be called before the commit and
        after it. RACE: between the two somebody may get the key. Then this job waits until that
        one has ended: to run it needs the key.
        """
        if "unique" not in record or record["unique"]["mode"] == "period":
            return None
        key = key_of(record)
        there = self._uniques.take(key, mark_of(record, names.nonce()), now)
        if not self._fs.ordered:
            self._uniques.sync(key)
        return None if there.id == record["id"] else there.id

    def take_back(self, record: Record, epoch: int, now: float) -> None:
        """A claim is given back as if it had never been: it has not started."""
        for gate in limits_of(record):
            self._limits.leave(gate, record["id"], epoch, now)

    def room(self, gate: Gate, now: float) -> int:
        """How many more may pass."""
        if gate.kind in ("unique", "running"):
            return 1
        return gate.limit - len(self._limits.taken(gate, now))

    def opens(self, gate: Gate, now: float) -> float | None:
        """When a rate lets the next one pass, by itself; None for a gate that somebody leaves."""
        if gate.period is None:
            return None
        taken = self._limits.taken(gate, now)
        return taken[-gate.limit].expires if len(taken) >= gate.limit else now

    def describe(self, record: Record, now: float) -> dict[str, JSON] | None:
        """What `Backend.blocked_at` says."""
        gate = self.blocking(record, now)
        if gate is None:
            return None
        if gate.kind == "rate":
            return described(gate, until=self.opens(gate, now))
        if gate.kind == "concurrency":
            ids = sorted(hold.id for hold in self._limits.taken(gate, now))
            return described(gate, ids)
        return described(gate, self._in_the_way(gate, record["id"], now))

    def gate_under(self, parent: int, record: Record) -> Gate | None:
        """The gate of this job at which jobs lie under that parent which is none."""
        return next((gate for gate in gates_of(record) if gate.parent == parent), None)
