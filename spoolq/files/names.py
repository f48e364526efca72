"""Names: how a job's file, and a user's string, is written as one path component.

    <id>.<epoch>.<revision>.<nonce>[.d<due>][.x<expiry>][.s<started>][.f<finished>][.p<parents>]
        .<task>.json

`id` is unpadded and in front, so that `ls 17.*` finds job 17. `epoch` counts how often the job
became claimable: it is the fence. `revision` counts changes of content: of two files of one job
the higher revision is the later one. `nonce` is the actor that put the file there, so a name is
used once, ever (R1 of docs/format.md). Times are microseconds since the epoch. `parents` is a
digest of the list of parents, the same for all jobs that have the same list. The task is encoded
with `encode`, which leaves no dot, slash or control character in it.

Pure: no disk. Every name is made and parsed here.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final, NamedTuple
else:
    from spoolq.tuples import NamedTuple

BLOCK: Final = 256
"""Ids of one bucket or shard. Listing 256 names costs 60 µs and 1,024 cost 260: a look-up lists
one such directory, and must stay below 200 µs."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLAIN: Final = frozenset(_DIGITS + _DIGITS[10:].upper() + "_-")
_ENCODED: Final = _PLAIN | {"%", "~"}
_LONGEST: Final = 100  # of an encoded string; a name has to fit into 255 bytes beside its numbers


class JobName(NamedTuple):
    """A job's file name, taken apart. Times are µs since the epoch, None where not there."""

    id: int
    epoch: int
    revision: int
    nonce: str
    due: int | None
    expires: int | None
    started: int | None
    finished: int | None
    family: str | None
    task: str  # encoded

    @property
    def version(self) -> tuple[int, int]:
        """Orders the files of one job: the higher is the later."""
        return (self.revision, self.epoch)

    def __str__(self) -> str:
        parts = [f"{self.id}.{self.epoch}.{self.revision}.{self.nonce}"]
        if self.due is not None:
            parts.append(f"d{self.due}")
        if self.expires is not None:
            parts.append(f"x{self.expires}")
        if self.started is not None:
            parts.append(f"s{self.started}")
        if self.finished is not None:
            parts.append(f"f{self.finished}")
        if self.family is not None:
            parts.append(f"p{self.family}")
        return f"{'.'.join(parts)}.{self.task}.json"


def fresh(id: int, nonce: str, due: int, expires: float | None, task: str) -> str:
    """The name of a new job without parents: what `str(JobName(…))` gives, in a third of the time,
    for the one path that every enqueue takes. `due` is µs, `expires` seconds."""
    if expires is None:
        return f"{id}.0.0.{nonce}.d{due}.{task}.json"
    return f"{id}.0.0.{nonce}.d{due}.x{micros(expires)}.{task}.json"


def ended(claim: JobName, revision: int, nonce: str, finished: float) -> str:
    """The name of the job of a claim that has ended, at `finished` seconds: as `fresh`, what
    `str(JobName(…))` gives, without what the claim has digested and encoded already."""
    kin = f".p{claim.family}" if claim.family else ""
    head = f"{claim.id}.{claim.epoch}.{revision}.{nonce}"
    return f"{head}.f{micros(finished)}{kin}.{claim.task}.json"


def claimed(name: str, nonce: str, started: int) -> tuple[JobName, str] | None:
    """The name of an inactive job as its claimer will have it; None when it is not in the grammar.

    Taken apart without the grammar's expression: the name was in a bucket, and its parts are
    checked where they are used; the content is read and compared before anything runs.
    """
    parts = name.split(".")
    if len(parts) < 7 or not name.isascii() or parts[4][:1] != "d":
        return None
    id_, epoch, revision = parts[:3]
    if not (id_.isdigit() and epoch.isdigit() and revision.isdigit()):
        return None
    family = parts[-3][1:] if parts[-3].startswith("p") else None
    task = parts[-2]
    if not _ENCODED.issuperset(task) or len(id_) > 19 or (family and len(family) != 10):
        return None
    kin = f"p{family}." if family else ""
    mine = JobName(
        int(id_), int(epoch), int(revision), nonce, None, None, started, None, family, task
    )
    return mine, f"{id_}.{epoch}.{revision}.{nonce}.s{started}.{kin}{task}.json"


@functools.cache
def _grammar() -> re.Pattern[str]:
    # Compiled when first asked for: 1 ms, and who adds a job takes no name apart.
    return re.compile(
        r"(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.([0-9a-z]{1,32})"
        r"(?:\.d(0|-?[1-9][0-9]{0,17}))?(?:\.x(0|-?[1-9][0-9]{0,17}))?"
        r"(?:\.s(0|-?[1-9][0-9]{0,17}))?(?:\.f(0|-?[1-9][0-9]{0,17}))?"
        r"(?:\.p([0-9a-f]{10}))?"
        r"\.([A-Za-z0-9_%~-]{1,140})\.json",
        re.ASCII,
    )


def parse(name: str) -> JobName | None:
    """The parts of a job's file name; None for a name that is not in the grammar."""
    match = _grammar().fullmatch(name)
    if match is None:
        return None
    id_, epoch, revision, nonce, due, expires, started, finished, family, task = match.groups()
    return JobName(
        int(id_),
        int(epoch),
        int(revision),
        nonce,
        None if due is None else int(due),
        None if expires is None else int(expires),
        None if started is None else int(started),
        None if finished is None else int(finished),
        family,
        task,
    )


def number(text: str) -> int | None:
    """A number in ASCII digits; None for anything else (`isdigit` alone lets "²" through)."""
    return int(text) if text.isascii() and text.isdigit() else None


def job_id(name: str) -> int:
    """The id in front of a name that is in the grammar; -1 for any other."""
    digits = name[: name.find(".")]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else -1


def task_of(name: str) -> str:
    """The encoded task of a name that is in the grammar."""
    return name[name.rfind(".", 0, -5) + 1 : -5]


def encode(text: str) -> str:
    """A user's string as one path component.

    Letters, digits, `_` and `-` stay, other bytes of its UTF-8 become %XX, the empty string is a
    lone `%`. What would be longer than 100 characters ends in `~` and 32 digits of its SHA-256
    instead: then `decode` cannot give it back, and the job's content has to be asked.
    """
    if _PLAIN.issuperset(text) and 0 < len(text) <= _LONGEST:
        return text
    if not text:
        return "%"
    data = text.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in data)
    if len(encoded) <= _LONGEST:
        return encoded
    head = re.sub(r"%[0-9A-F]?$", "", encoded[:60])
    return f"{head}~{_sha256(data)[:32]}"


def decode(encoded: str) -> str | None:
    """The string behind `encode`; None when only its digest is left, or it is no such name."""
    if "~" in encoded:
        return None
    if encoded == "%":
        return ""
    if not re.fullmatch(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+", encoded, re.ASCII):
        return None
    data = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), encoded.encode("ascii"))
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def family(parents: list[int]) -> str:
    """The digest that all children with this list of parents carry in their names."""
    if len(parents) <= 100:
        return _family(tuple(parents))
    return _digest(parents)


@functools.lru_cache(256)
def _family(parents: tuple[int, ...]) -> str:
    return _digest(parents)


def _digest(parents: Iterable[int]) -> str:
    text = ",".join(map(str, parents))
    return _sha256(text.encode())[:10]


def _sha256(data: bytes) -> str:
    import hashlib  # 2 ms, which a name seldom needs

    return hashlib.sha256(data).hexdigest()


def micros(seconds: float) -> int:
    """Seconds as the µs that names carry."""
    return round(seconds * 1_000_000)


def block_of(id: int) -> int:
    """The bucket or shard of a job."""
    return id // BLOCK


class _Nonce:
    """This process as an actor: 48 random bits, and how many names it has made."""

    __slots__ = ("count", "prefix")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.prefix = _base36(int.from_bytes(os.urandom(6)))
        self.count = 0


def _base36(number: int) -> str:
    text = ""
    for _ in range(10):
        number, rest = divmod(number, 36)
        text += _DIGITS[rest]
    return text


_actor = _Nonce()
# A forked child is another actor: with its parent's nonce it could make the same name again.
os.register_at_fork(after_in_child=_actor.renew)


def nonce() -> str:
    """A string that no other call, in any process on any host, returns."""
    _actor.count += 1
    return f"{_actor.prefix}{_actor.count:x}"


def actor() -> str:
    """The part of `nonce` that stays the same in this process."""
    return _actor.prefix
