"""Limits: how many jobs with a key run at once, and how many have started within a period.

    limits/<kind and key>/      a chain of states, as of a lock: see `locks`

Each hold of such a chain names a job and its epoch: the claim that took it. A concurrency limit
is held until that claim ends. Nobody has to let go of it for a worker that died: a hold whose job
is not active under that epoch any more counts for nothing. A rate is held for its period, whatever
becomes of the job. Nothing is synced: after power loss nobody runs, and a rate begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spoolq.files import names
from spoolq.files.catalog import Catalog
from spoolq.files.chain import Chain
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.locks import Hold, Holds, decode_holds, encode_holds
from spoolq.gates import Gate

_FOR_EVER: Final = 9e15  # seconds: a hold that ends with its claim


class Limits:
    """The limits of one spool, by key."""

    def __init__(self, fs: Filesystem, layout: Layout, catalog: Catalog) -> None:
        self._base = layout.limits
        self._chain: Chain[Holds] = Chain(
            fs, layout, encode_holds, decode_holds, nothing=Holds(), unreadable=Holds(),
            durable=False,
        )  # fmt: skip
        self._catalog = catalog

    def enter(self, gate: Gate, id: int, epoch: int, now: float) -> bool:
        """Take one place for a claim; False when all are taken. One that has it keeps it."""
        expires = _FOR_EVER if gate.period is None else now + gate.period
        inside = False

        def take(held: Holds) -> Holds | None:
            nonlocal inside
            inside = any((hold.id, hold.worker) == (id, epoch) for hold in held.holds)
            if inside:
                return None
            if len(held.holds) >= gate.limit:
                held = self._living(gate, held)
            if len(held.holds) >= gate.limit:
                return None
            return held.with_hold(Hold(expires, id, epoch))

        return self._swap(gate, take, now) or inside

    def leave(self, gate: Gate, id: int, epoch: int, now: float) -> None:
        """Give the place of a claim back, if it has one."""

        def drop(held: Holds) -> Holds | None:
            after = held.without(lambda hold: (hold.id, hold.worker) == (id, epoch))
            return after if len(after.holds) < len(held.holds) else None

        self._swap(gate, drop, now)

    def taken(self, gate: Gate, now: float) -> list[Hold]:
        """The holds that count, the first to expire in front; exact when the gate looks full."""
        held = self._chain.newest(self._directory(gate)).value.alive(now)
        if len(held.holds) >= gate.limit:
            held = self._living(gate, held)
        return list(held.holds)

    def _swap(self, gate: Gate, change: Callable[[Holds], Holds | None], now: float) -> bool:
        directory = self._directory(gate)
        return self._chain.swap(directory, gate.name, lambda held: change(held.alive(now)))

    def _directory(self, gate: Gate) -> str:
        return f"{self._base}/{names.encode(gate.name)}"

    def _living(self, gate: Gate, held: Holds) -> Holds:
        """Without the holds of claims that are over."""
        return held.without(self._is_over) if gate.period is None else held

    def _is_over(self, hold: Hold) -> bool:
        found = self._catalog.find(hold.id)
        return found is None or found.state != "active" or found.name.epoch != hold.worker
