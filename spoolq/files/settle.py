"""Settling: what becomes of a job. Every function commits with one supersede or one move.

Which attempt is meant is said by (id, retries), as in Minion; which file, by the exact name that
this process claimed. Whoever lost that name, because the job was repaired, retried or removed
meanwhile, is answered False and has changed nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.catalog import Catalog, Found
from spoolq.files.families import Families
from spoolq.files.fs import Denied, Filesystem
from spoolq.files.layout import Layout
from spoolq.files.places import FAILED, FINISHED, Place, delayed, ready
from spoolq.files.publish import Publisher
from spoolq.files.tokens import Change, Token, Tokens
from spoolq.model import JSON
from spoolq.transitions import (
    REMOVABLE,
    Backoff,
    Record,
    edited,
    expired,
    failed,
    finished,
    noted,
    retried,
    stuck,
)

_REMEMBERED = 10_000  # claims of this process whose content is at hand


class Claim(NamedTuple):
    """A running attempt. `mine`: this process claimed it, `data` is what it read then."""

    found: Found
    record: Record
    data: bytes = b""
    mine: bool = False


class Outcome(NamedTuple):
    """How an attempt ended."""

    id: int
    retries: int
    ok: bool
    result: JSON
    exit: JSON = None
    final: bool = False


class Settler:
    """Finishes, fails, retries, removes and annotates jobs."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        tokens: Tokens,
        catalog: Catalog,
        families: Families,
        publisher: Publisher,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._tokens = tokens
        self._catalog = catalog
        self._families = families
        self._publisher = publisher
        self._claims: dict[int, Claim] = {}
        self.left: Callable[[Record], None] = lambda _: None
        """Called with a job as it was when it is not active any more."""

    # -- claims of this process ------------------------------------------------------------------

    def remember(self, claim: Claim) -> None:
        """Keep what was read at the claim, so that its outcome need not read it again."""
        if len(self._claims) >= _REMEMBERED:
            self._claims.clear()
        self._claims[claim.record["id"]] = claim

    def forget_claims(self) -> None:
        """They are the parent's: a forked child is another process, with no claim of its own."""
        self._claims.clear()

    def _running(self, outcome: Outcome, lost: Claim | None) -> Claim | None:
        """The running attempt that this outcome is of; None when it is not the running one.

        `lost` is the claim whose name was found changed: by a note it keeps its epoch, by
        anything else the attempt is over.
        """
        mine = self._claims.get(outcome.id)
        if lost is None and mine and mine.record["retries"] == outcome.retries:
            return mine
        while True:
            found = self._catalog.find(outcome.id)
            if found is None or found.state != "active":
                return None
            if lost and found.name.epoch != lost.found.name.epoch:
                return None
            try:
                record = self._tokens.read(found.token)
            except JobCorrupt:
                return None
            if record is not None:
                mine = Claim(found, as_active(found, record))
                return mine if record["retries"] == outcome.retries else None
            # RACE: annotated once more between look-up and reading

    def read(self, found: Found) -> Record | None:
        """A job's content as of now; None when it has moved on or cannot be read.

        `started` and `worker` of an active job are said by its name and its directory.
        """
        record = self._tokens.read_or_none(found.token)
        return None if record is None else as_active(found, record)

    # -- outcomes --------------------------------------------------------------------------------

    def settle(self, outcomes: Sequence[Outcome], now: float, backoff: Backoff) -> list[bool]:
        """Commit how these attempts ended, durable together; False for each that is not running."""
        first: dict[tuple[int, int], int] = {}
        for index, outcome in enumerate(outcomes):
            # The first outcome of an attempt counts.
            first.setdefault((outcome.id, outcome.retries), index)
        claims = {
            index: claim
            for index in first.values()
            if (claim := self._running(outcomes[index], None))
        }
        changes = [_ended(claim, outcomes[index], now, backoff) for index, claim in claims.items()]
        answers = [False] * len(outcomes)
        ended: list[int] = []
        for (index, claim), change, token in zip(
            claims.items(), changes, self._tokens.supersede(changes), strict=True
        ):
            if token and token.place.state != "inactive":
                self._claims.pop(change.record["id"], None)
                ended.append(change.record["id"])
                self.left(claim.record)
            elif token:
                self._settled(change, token, now)
            answers[index] = bool(token) or self._settle(outcomes[index], claim, now, backoff)
        self._publisher.release_all(ended, now)
        return answers

    def settle_one(self, outcome: Outcome, now: float, backoff: Backoff) -> bool:
        """`settle` for one outcome."""
        return self._settle(outcome, None, now, backoff)

    def _settle(self, outcome: Outcome, lost: Claim | None, now: float, backoff: Backoff) -> bool:
        while True:
            claim = self._running(outcome, lost)
            if claim is None:
                mine = lost or self._claims.pop(outcome.id, None)
                if mine and mine.record["retries"] == outcome.retries:
                    self._report_refused(mine, outcome, now)
                return False
            change = _ended(claim, outcome, now, backoff)
            token = self._tokens.supersede_one(change)
            if token:
                self._settled(change, token, now)
                return True
            lost = claim  # RACE: a note may have renamed the file under the same claim

    def _report_refused(self, claim: Claim, outcome: Outcome, now: float) -> None:
        """Put on record that an attempt ended after it had been given to somebody else.

        The job may have run twice at once: a worker was taken for dead and lived, or somebody
        retried or removed a job that ran. Promise 3: never silently.
        """
        self._claims.pop(outcome.id, None)
        self.report(
            "outcome refused",
            outcome.id,
            now,
            task=claim.record["task"],
            retries=outcome.retries,
            epoch=claim.found.name.epoch,
            worker=claim.record["worker"],
            started=claim.record["started"],
            state="finished" if outcome.ok else "failed",
            result=outcome.result,
        )

    def report(self, incident: str, id: int, now: float, **about: JSON) -> None:
        """Put on record, in `incidents/`, what somebody should know who looks after the spool."""
        said = {"incident": incident, "job": id, "time": now, **about}
        data = records.encode_json(said, "incident") + b"\n"
        self._fs.create(f"{self._layout.incidents}/{id}.{names.nonce()}.json", data)

    def _settled(self, change: Change, token: Token, now: float) -> None:
        self.left(change.record)
        self._claims.pop(change.record["id"], None)
        self._after(change, token, now)

    def _after(self, change: Change, token: Token, now: float) -> None:
        """What follows from a committed change: children, and claimers who keep listings."""
        if token.place.state == "inactive":
            self._publisher.settle_in(token.place, change.record, now)
        else:
            self._publisher.release(change.record["id"], now)

    def fail_stuck(self, found: Found, record: Record, message: str, now: float) -> bool:
        """Fail an inactive job that nobody took; its attempts stay [220-222]."""
        change = Change(
            found.token,
            stuck(record, message),
            FAILED,
            found.name.epoch,
            found.name.revision + 1,
        )
        return self._apply(change, now)

    def fail_lost(self, found: Found, message: str, now: float, backoff: Backoff) -> bool:
        """Fail the attempt of a worker that is gone [210, 126]."""
        record = self.read(found)
        if record is None:
            return False
        outcome = Outcome(record["id"], record["retries"], False, message)
        if not self._apply(_ended(Claim(found, record), outcome, now, backoff), now):
            return False
        self.left(record)
        return True

    # -- changes by hand -------------------------------------------------------------------------

    def retry(self, id: int, retries: int, options: Mapping[str, Any], now: float) -> bool:
        """Make a job of any state inactive again [88-110]."""
        retried({**_EMPTY, "retries": retries}, now, options)  # refuses before anything is read
        return self._change(id, lambda f, r: self._retried(f, r, retries, options, now), now)

    def _retried(
        self, found: Found, record: Record, retries: int, options: Mapping[str, Any], now: float
    ) -> Change | None:
        if record["retries"] != retries:
            return None
        after = retried(record, now, options)
        place = self._publisher.place(after, now)
        return Change(found.token, after, place, found.name.epoch + 1, found.name.revision + 1)

    def edit(self, id: int, retries: int, options: Mapping[str, Any], now: float) -> bool:
        """Change a job that is not active, and count nothing."""
        edited({"notes": {}}, now, options)  # refuses before anything is read

        def decide(found: Found, record: Record) -> Change | None:
            if found.state == "active" or record["retries"] != retries or found.expired(now):
                return None
            after, name = edited(record, now, options), found.name
            place = found.token.place._replace(batch="")
            if place.kind == "held":
                place = self._publisher.held(after)
            elif found.state == "inactive":
                place = self._publisher.place(after, now)
            return Change(found.token, after, place, name.epoch, name.revision + 1)

        return self._change(id, decide, now)

    def hold(self, id: int, now: float) -> bool:
        """Keep an inactive job from being claimed; True when it is held, also if it was before."""
        already = False

        def decide(found: Found, record: Record) -> Change | None:
            nonlocal already
            already = found.token.place.kind == "held" and not found.expired(now)
            if already or found.state != "inactive" or found.expired(now):
                return None
            place, name = self._publisher.held(record), found.name
            return Change(found.token, record, place, name.epoch, name.revision + 1)

        return self._change(id, decide, now) or already

    def unhold(self, id: int, now: float) -> bool:
        """Let a held job be claimed when it is due; False when it is not held.

        The time for which it was held does not make it overdue.
        """

        def decide(found: Found, record: Record) -> Change | None:
            if found.token.place.kind != "held" or found.expired(now):
                return None
            after = {**record, "delayed": max(record["delayed"], now)}
            place, name = self._publisher.place(after, now), found.name
            return Change(found.token, after, place, name.epoch + 1, name.revision + 1)

        return self._change(id, decide, now)

    def note(self, id: int, merge: Mapping[str, JSON], now: float) -> bool:
        """Merge keys into the notes of a job in any state [155-163]."""

        def decide(found: Found, record: Record) -> Change | None:
            if not merge:
                return None
            place = found.token.place._replace(batch="")
            after, name = noted(record, merge), found.name
            return Change(found.token, after, place, name.epoch, name.revision + 1)

        if not merge:
            return self._catalog.find(id) is not None
        return self._change(id, decide, now)

    def _change(
        self, id: int, decide: Callable[[Found, Record], Change | None], now: float
    ) -> bool:
        """Find, decide and commit, again and again while others change the job under it.

        False when there is no such job, or `decide` wants nothing done.
        """
        while True:
            found = self._catalog.find(id)
            if found is None:
                return False
            try:
                record = self._tokens.read(found.token)
            except JobCorrupt:
                return False
            if record is None:
                continue  # RACE: it moved on between look-up and reading
            change = decide(found, as_active(found, record))
            if change is None:
                return False
            if self._apply(change, now):
                if found.state == "active" and change.place.kind != "active":
                    self.left(record)
                return True

    def _apply(self, change: Change, now: float) -> bool:
        token = self._tokens.supersede_one(change)
        if token is None:
            return False
        id_ = change.record["id"]
        same_claim = token.place.kind == "active"
        if same_claim and id_ in self._claims:
            self._claims[id_] = Claim(self._refound(token), change.record, mine=True)
        elif not same_claim:
            self._claims.pop(id_, None)
        if change.token.place.kind != token.place.kind or token.place.state == "inactive":
            self._after(change, token, now)
        return True

    def _refound(self, token: Token) -> Found:
        name = names.parse(token.name)
        if name is None:
            raise AssertionError(f"{token.name} was made by this module and does not parse")
        return Found(token, name)

    # -- moves -----------------------------------------------------------------------------------

    def give_back(self, found: Found, record: Record, now: float) -> bool:
        """End a claim of a job that may not run; False when it moved first."""
        if expired(record, now):
            return self.discard(found, now)
        return self.release(found, record, now)

    def release_claim(self, id: int, retries: int, now: float) -> bool:
        """`release` for the attempt that runs; False when that is over."""
        outcome = Outcome(id, retries, ok=False, result=None)
        lost = None
        while claim := self._running(outcome, lost):
            if self.release(claim.found, claim.record, now):
                self._claims.pop(id, None)
                return True
            lost = claim  # RACE: a note has renamed the file under the same claim
        return False

    def release(self, found: Found, record: Record, now: float) -> bool:
        """Give a claim back: inactive again, no attempt counted, a new epoch."""
        # It was due when it was claimed: a clock set back since then does not make it wait again.
        due = min(record["delayed"], now)
        place = self._publisher.place({**record, "delayed": due}, now)
        name = found.name
        moved = self._tokens.put(
            found.token.path, record, place, name.epoch + 1, name.revision, names.nonce()
        )
        if moved is None:
            return False
        self.left(record)
        self._publisher.settle_in(moved.place, record, now)
        return True

    def remove(self, id: int, now: float) -> bool:
        """Remove an inactive, failed or finished job [111-115]; it stays removed."""
        while True:
            found = self._catalog.find(id)
            if found is None or found.state not in REMOVABLE:
                return False
            if self.discard(found, now):
                return True

    def discard(self, found: Found, now: float) -> bool:
        """Move a job out of the spool; False when it moved first."""
        fs, layout, id_ = self._fs, self._layout, found.name.id
        self._tokens.withdraw(id_)
        if not fs.ordered:
            # SYNC: before the newest file goes, none of its older ones may come back any more, nor
            # an outcome, nor the counter: no file would say that the id was given out.
            fs.sync_directory(f"{layout.trash}/{names.block_of(id_)}")
            for directory in (layout.trash, layout.settling, layout.ids):
                fs.sync_directory(directory)
        gone = f"{layout.trash}/{found.token.name}.{names.nonce()}"
        if not fs.move(found.token.path, gone):
            return False
        fs.sync_directory(found.token.directory)
        self._publisher.release(id_, now)
        self._families.forget(id_)
        logs = f"{layout.logs}/{names.block_of(id_)}"
        for name in fs.list(logs):
            if name.startswith(f"{id_}."):
                fs.unlink(f"{logs}/{name}")
        # CRASH: dying before this leaves the file in trash/; repair empties it.
        fs.unlink(gone)
        return True

    def set_aside(self, path: str, reason: str, now: float) -> None:
        """Move a file that cannot be used to `corrupt/`, with the reason beside it.

        One that the system does not let be moved stays where it is.
        """
        fs = self._fs
        base = names.encode(path.rpartition("/")[2])
        target = f"{self._layout.corrupt}/{names.nonce()}.{base}"
        try:
            moved = fs.move(path, target)
        except Denied:
            return
        if moved:
            note = {"file": path, "reason": reason, "time": now}
            fs.create(f"{target}.reason", json.dumps(note).encode() + b"\n", urgent=True)


_EMPTY: Record = {"retries": 0}


def as_active(found: Found, record: Record) -> Record:
    """The record with what an active job's name and directory say: when it started, and where."""
    if found.state != "active":
        return record
    number = found.token.place.key.partition("-")[0]
    started = found.name.started
    return {
        **record,
        "started": record["started"] if started is None else started / 1_000_000,
        "worker": int(number) if number.isdigit() else None,
    }


def _ended(claim: Claim, outcome: Outcome, now: float, backoff: Backoff) -> Change:
    """The change that an outcome makes: finished, failed, or inactive for the next attempt."""
    found, record, data, mine = claim
    own = found.name if mine else None
    epoch, revision = found.name.epoch, found.name.revision + 1
    if outcome.ok:
        after = finished(record, outcome.result, now, outcome.exit)
        return Change(found.token, after, FINISHED, epoch, revision, own, data)
    state, after = failed(record, outcome.result, now, backoff, outcome.exit, final=outcome.final)
    if state == "failed":
        same = after["attempts"] == record["attempts"]  # what is in front of the outcome
        return Change(found.token, after, FAILED, epoch, revision, own, data if same else b"")
    return Change(found.token, after, _later(after, now), epoch + 1, revision, own)


def _later(record: Record, now: float) -> Place:
    if record["delayed"] > now:
        return delayed(record["queue"], record["delayed"])
    return ready(record["queue"], record["priority"])
