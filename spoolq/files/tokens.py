"""The two primitives through which every change of a job goes.

`move` is `Filesystem.move`: one rename, for changes of state alone. `supersede` is for every
change of content:

1. write the new file complete as `settling/<id>.<epoch>.<revision>.<nonce>@<place>.new`, sync it;
2. move the job's present file to `trash/<bucket>/` under the same name with `.old`: this instant
   is the commit, and the fence: who no longer owns that exact name loses here and changes nothing;
3. move `.new` to its place, sync that directory.

Whoever finds `.new` with its `.old` completes step 3: the name says where to. A `.new` without is
not decided, an `.old` without is rubbish. It is deleted when there is time: deleting a file is the
dearest call of all on some disks, and nobody waits for it.

The outcome of a claim is staged as `.end`, by the one process that may speak for the claim. It
stands for itself: where the claim's file is still there and its holder is gone, repair commits it
in the holder's place, and the first opener after a boot lets it count though power loss has undone
the commit. So its own sync is the only one an outcome needs (docs/decisions/0009).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from spoolq.errors import JobCorrupt, SpoolUnavailable
from spoolq.files import names, records
from spoolq.files.fs import Denied, Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.files.places import SETTLING, Place, Places, job_name, parse_code
from spoolq.transitions import Record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final, NamedTuple
else:
    from spoolq.tuples import NamedTuple

_SLEPT: Final = 1800.0  # seconds: half the age at which repair collects a `.new`


class Token(NamedTuple):
    """One job's file: where it is, under which name."""

    directory: str
    name: str
    place: Place

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.name}"


class Change(NamedTuple):
    """A change of content that is about to be made."""

    token: Token  # the present file
    record: Record  # the new content
    place: Place  # where it goes
    epoch: int
    revision: int
    claim: names.JobName | None = None  # of an outcome: the claim that it ends
    before: bytes = b""  # of an outcome: the present content, most of the new one is in it


class Settling(NamedTuple):
    """The name of a change that is under way, taken apart."""

    id: int
    epoch: int
    revision: int
    nonce: str
    place: Place
    outcome: bool


class Staged(NamedTuple):
    """A change whose new file is about to be written, or is."""

    change: Change
    nonce: str
    new: str
    old: str
    data: bytes


def parse_settling(name: str) -> Settling | None:
    """The parts of the name of a new file in `settling/`; None for any other name."""
    stem, _, stage = name.rpartition(".")
    numbers, _, code = stem.partition("@")
    parts = numbers.split(".")
    place = parse_code(code)
    if stage not in ("new", "end") or place is None or len(parts) != 4:
        return None
    if not all(part.isascii() and part.isdigit() for part in parts[:3]):
        return None
    id_, epoch, revision = map(int, parts[:3])
    return Settling(id_, epoch, revision, parts[3], place, stage == "end")


def stem(name: str) -> str:
    """What the new and the old file of one change have in common."""
    return name.rpartition(".")[0]


class Tokens:
    """Moves and supersedes the files of jobs."""

    def __init__(
        self, fs: Filesystem, layout: Layout, places: Places, elapsed: Callable[[], float]
    ) -> None:
        self._fs = fs
        self._elapsed = elapsed
        self._layout = layout
        self._places = places
        self._spent: list[str] = []  # `.old` files of this process that are rubbish by now
        self.before_publish: Callable[[Token, Place], None] | None = None
        """Called between commit and publication of a change, also when it is completed later."""

    def put(
        self, source: str, record: Record, place: Place, epoch: int, revision: int, nonce: str
    ) -> Token | None:
        """Move a private or committed file to its place, making the place if need be.

        None: somebody else did it. The name is not synced.
        """
        name = str(job_name(record, place, epoch, revision, nonce))
        return self._put(source, name, place, record["id"])

    def _put(self, source: str, name: str, place: Place, id: int) -> Token | None:
        block = names.block_of(id)
        while True:
            bucket = self._places.made(place, block) or self._places.make(place, block)
            try:
                moved = self._fs.move(source, f"{bucket}/{name}")
            except NoDirectory:
                self._places.forget(place, block)  # RACE: emptied and removed by a claimer
                continue
            return Token(bucket, name, place) if moved else None

    def supersede_one(self, change: Change) -> Token | None:
        """Make a change of content; None when it was fenced off.

        After return it survives power loss. A disk that refuses before the commit leaves the job
        as it was; after it, repair or the next reader completes it.
        """
        if change.claim is not None and not self._fs.atomic:
            return self._supersede_late(change)
        fs, began = self._fs, self._elapsed()
        staged = self._staged(change)
        # CRASH: dying after this leaves a `.new` alone: never decided, collected by repair; or an
        # `.end`, which repair commits when it finds that the holder of the claim is gone.
        fs.create(staged.new, staged.data, urgent=True)
        if not self._commit(staged):
            return None
        if change.token.place.kind == "inbox" and not fs.ordered:
            # SYNC: a file that power loss puts back into the inbox would be taken in again, under
            # another id: nothing would say that it is there twice.
            fs.sync_directory(change.token.directory)
        # CRASH: from here on both files are there; anybody can go on. Power loss may keep what
        # follows and lose the commit, where changes survive in any order: then the old file is
        # back beside the new one, and the first opener after the boot drops it.
        token = self._publish(staged, began)
        if not self._stands_alone(change):
            fs.sync_directory(token.directory)
        self._spent.append(staged.old)
        return token

    def _supersede_late(self, change: Change) -> Token | None:
        """`supersede_one` for an outcome where a rename may be half lost: one sync, behind all.

        Its own name keeps the file only where it is synced last. Until then the job is at risk as
        it was while it ran: on such a disk nothing that moves is safe before it is synced.
        """
        fs, began = self._fs, self._elapsed()
        staged = self._staged(change)
        fd = fs.create_open(staged.new, staged.data)
        try:
            token = self._publish(staged, began) if self._commit(staged) else None
        finally:
            # By its descriptor: a job that is inactive again may have been claimed meanwhile.
            fs.sync_and_close(fd, staged.new)
        if token:
            self._spent.append(staged.old)
        return token

    def supersede(self, changes: Sequence[Change]) -> list[Token | None]:
        """`supersede_one` for several changes, made durable together."""
        fs, began = self._fs, self._elapsed()
        staged = [self._staged(change) for change in changes]
        for item in staged:
            fs.create(item.new, item.data, sync=False, urgent=True)
        # One sync for all, where a rename may be half lost behind them: see `_supersede_late`.
        late = not fs.atomic and all(change.claim for change in changes)
        if not late:
            fs.sync_files([item.new for item in staged], directories=[self._layout.settling])
        tokens = [self._publish(item, began) if self._commit(item) else None for item in staged]
        published = [
            (change, token) for change, token in zip(changes, tokens, strict=True) if token
        ]
        if late:
            fs.sync_files([token.path for _, token in published])
        else:
            unsafe = {
                token.directory for change, token in published if not self._stands_alone(change)
            }
            for directory in unsafe:
                fs.sync_directory(directory)
        self._spent += [item.old for item, token in zip(staged, tokens, strict=True) if token]
        return tokens

    def _stands_alone(self, change: Change) -> bool:
        """Whether the new file's own sync is enough for this change to survive power loss."""
        return change.claim is not None and self._fs.recovers

    def tidy(self, most: int = 1_000_000) -> None:
        """Delete what this process has put into the trash: when it is idle, or has too much."""
        # A disk that refuses to forget must not keep from its caller what was claimed just now.
        with suppress(SpoolUnavailable):
            for _ in range(min(most, len(self._spent))):
                self._fs.unlink(self._spent.pop())

    @property
    def rubbish(self) -> int:
        """How many files `tidy` would delete."""
        return len(self._spent)

    def _staged(self, change: Change) -> Staged:
        record, nonce, layout = change.record, names.nonce(), self._layout
        id_ = record["id"]
        name = f"{id_}.{change.epoch}.{change.revision}.{nonce}@{change.place.code}"
        stage = "new" if change.claim is None else "end"
        new = f"{layout.settling}/{name}.{stage}"
        old = f"{layout.trash}/{names.block_of(id_)}/{name}.old"
        return Staged(change, nonce, new, old, _encode(change))

    def _old(self, name: str) -> str:
        """Where the old file of the change is moved whose new file in `settling/` is `name`."""
        return f"{self._layout.trash}/{names.block_of(names.job_id(name))}/{stem(name)}.old"

    def _commit(self, staged: Staged) -> bool:
        try:
            won = self._fs.move(staged.change.token.path, staged.old)
        except NoDirectory:
            # RACE: or removed when it was empty
            self._fs.mkdir(staged.old.rpartition("/")[0])
            return self._commit(staged)
        if not won:
            self._fs.unlink(staged.new)  # fenced: the job is somebody else's now
            if staged.change.claim:
                # SYNC: it must not be found after a boot, when that one's job has been removed.
                self._fs.sync_directory(self._layout.settling)
        return won

    def _publish(self, staged: Staged, began: float) -> Token:
        change = staged.change
        if self.before_publish:
            self.before_publish(change.token, change.place)
        place, name = change.place, _published_name(staged)
        token = self._put(staged.new, name, place, change.record["id"])
        slept = self._elapsed() - began > _SLEPT
        if token is None and slept and self.find_revision(change.record["id"]) is None:
            # RACE: this process may have slept so long before its commit that repair took its
            # `.new` for a leftover. Else a helper has completed it, and it may be gone again.
            self._fs.create(staged.new, staged.data, urgent=True)
            token = self._put(staged.new, name, place, change.record["id"])
        if token is None:  # completed by a helper
            bucket = place.bucket(self._layout, names.block_of(change.record["id"]))
            token = Token(bucket, name, place)
        return token

    # Set by the catalog, which lies above: the revision of a job, None when there is none.
    find_revision: Callable[[int], int | None]

    # -- what others left ------------------------------------------------------------------------

    def committed(self, name: str) -> Settling | None:
        """The change whose new file in `settling/` is called `name`, if it was committed."""
        change = parse_settling(name)
        return change if change and self._fs.has(self._old(name)) else None

    def old_of(self, name: str) -> Token:
        """The old file of the change whose new file in `settling/` is called `name`."""
        directory, _, old = self._old(name).rpartition("/")
        return Token(directory, old, SETTLING)

    def outcomes(self) -> list[tuple[str, Settling]]:
        """The outcomes of claims in `settling/`, with their names, those of a job in order."""
        parsed = [(name, parse_settling(name)) for name in self._fs.list(self._layout.settling)]
        found = [(name, change) for name, change in parsed if change and change.outcome]
        return sorted(found, key=lambda item: (item[1].id, item[1].revision))

    def withdraw(self, id: int) -> None:
        """Drop the outcomes of a job that nobody will commit any more: it is about to be removed,
        and none may bring it back after a boot."""
        for name, change in self.outcomes():
            if change.id == id:
                self._fs.unlink(f"{self._layout.settling}/{name}")

    def decide(self, name: str, present: Token | None) -> bool:
        """Commit the outcome in `settling/` called `name` for the holder of the claim, who is
        gone; `present` is the job's file, None where power loss has taken its name.

        False when it cannot be read, because its writer did not come to the end, or the present
        file has just been moved. Not completed yet.
        """
        if self.read_or_none(Token(self._layout.settling, name, SETTLING)) is None:
            return False
        if present is None:
            return True
        old = self._old(name)
        self._fs.mkdir(old.rpartition("/")[0])
        # RACE: the holder may be alive and do the very same; both are right then.
        return self._fs.move(present.path, old)

    def complete(self, name: str) -> Token | None:
        """Complete the committed change whose new file is called `name`, by anybody: step 3.

        None when somebody else did. Raises JobCorrupt.
        """
        path = f"{self._layout.settling}/{name}"
        change = parse_settling(name)
        data = self._fs.read(path, records.MAX_SIZE)
        if change is None or data is None:
            return None
        record = records.decode(data)
        if not self._fs.ordered:
            # SYNC: whoever committed this may not have come so far, and see `supersede_one`.
            self._fs.sync_directory(self._old(name).rpartition("/")[0])
        if self.before_publish:
            self.before_publish(Token(self._layout.settling, name, SETTLING), change.place)
        token = self.put(path, record, change.place, change.epoch, change.revision, change.nonce)
        if token:
            self._fs.sync_directory(token.directory)
        return token

    def read_or_none(self, token: Token) -> Record | None:
        """`read` for callers that have nothing to do with a job that cannot be read."""
        try:
            return self.read(token)
        except JobCorrupt:
            return None

    def read(self, token: Token) -> Record | None:
        """The content of a job's file; None when it has moved on. Raises JobCorrupt."""
        found = self.read_with_bytes(token)
        return found[0] if found else None

    def read_with_bytes(self, token: Token) -> tuple[Record, bytes] | None:
        """`read`, and the bytes it was read from."""
        try:
            data = self._fs.read(token.path, records.MAX_SIZE)
        except Denied as error:
            raise JobCorrupt(str(error)) from None
        if data is None:
            return None
        record = records.decode(data)
        if record["id"] != names.job_id(token.name):
            raise JobCorrupt(f"it says that it is job {record['id']}")
        if names.encode(record["task"]) != names.task_of(token.name) and "@" not in token.name:
            # Claimers choose by the name: else a job could reach a worker that does not serve it.
            raise JobCorrupt(f"it says that its task is {record['task'][:60]!r}")
        return record, data


def _published_name(staged: Staged) -> str:
    change, nonce = staged.change, staged.nonce
    claim, ended = change.claim, change.record["finished"]
    if claim and change.place.state != "inactive":
        return names.ended(claim, change.revision, nonce, ended)
    return str(job_name(change.record, change.place, change.epoch, change.revision, nonce))


def _encode(change: Change) -> bytes:
    if change.before:
        return records.encode_ended(change.record, change.before)
    return records.encode(change.record)
