"""Bytes: how a record is written, and the strict, bounded reader of what others wrote.

A record is one JSON object on one line. The last member of a published one is `sum`, eight hex
digits of the CRC-32 of everything before it: a torn or rotten file is recognised, whatever it
still parses as. Pure: no disk.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable

from spoolq.errors import InvalidType, InvalidValue, JobCorrupt
from spoolq.states import JSON
from spoolq.transitions import (
    MAX_DEPTH,
    MAX_ID,
    Record,
    check_attempts,
    check_flag,
    check_json,
    check_priority,
    check_queue,
    check_task,
    check_timeout,
)

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final

MAX_SIZE: Final = 16 * 1024 * 1024
"""Bytes of one record. Anything larger is refused at the call, and not read from the disk."""

_SUM: Final = re.compile(rb',"sum":"([0-9a-f]{8})"\}\n')
_SUM_LENGTH: Final = len(b',"sum":"00000000"}\n')
_encode: Final[Callable[[Any], str]] = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


# What has not happened to a job that nobody has run: the end of its body.
_LAST: Final = ("started", "finished", "worker", "result", "exit", "history")
_UNTOUCHED: Final = (
    b',"started":null,"finished":null,"worker":null,"result":null,"exit":null,"history":[]'
)


def encode_json(value: JSON, name: str = "value") -> bytes:
    """Compact JSON in UTF-8. Raises InvalidType or InvalidValue naming what cannot be carried."""
    try:
        return _encode(value).encode()
    except (TypeError, RecursionError, ValueError) as error:
        raise _refusal(name, error) from None


def _refusal(name: str, error: Exception) -> InvalidType | InvalidValue:
    """What the encoder cannot carry, as an error of ours that names the argument."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(f"{name}: a lone surrogate is no text: JSON is UTF-8")
    if isinstance(error, ValueError):
        return InvalidValue(f"{name}: {error}: JSON has no such number")
    return InvalidType(f"{name}: {error}")


def encode(record: Record) -> bytes:
    """The bytes of a job's file. Raises InvalidValue when they would be more than MAX_SIZE."""
    return seal(encode_body(record), record["id"])


def encode_ended(record: Record, before: bytes) -> bytes:
    """`encode` for a job that ended, out of the file it had: in a third of the time for a first
    attempt, whose record differs only in what `new_record` puts last."""
    body = before[:-_SUM_LENGTH]
    if not body.endswith(_UNTOUCHED):
        return encode(record)
    whole = b"%b,%b" % (body[: -len(_UNTOUCHED)], _tail(record))
    return b'%b,"sum":"%08x"}\n' % (_bounded(whole), zlib.crc32(whole))


def _tail(record: Record) -> bytes:
    """What `new_record` puts last, of a job that has ended."""
    started, worker, [attempt] = record["started"], record["worker"], record["history"]
    if type(started) is not float or record["exit"] is not None or len(attempt) != 5:
        return encode_json({field: record[field] for field in _LAST}, "job")[1:-1]
    ran = f'"started":{started!r},"finished":{record["finished"]!r}'
    # One that went well, of a function: most of it is what it always is.
    said = (
        f'{ran},"worker":{worker},"result":%b,"exit":null,"history":[{{'
        f'"retries":{record["retries"]},"state":"{attempt["state"]}","worker":{worker},{ran}}}]'
    )
    return said.encode() % encode_json(record["result"], "job")


def encode_fresh(record: Record) -> bytes:
    """`encode_body` for a record straight from `new_record`, in a third of the time.

    Nothing has happened to such a job, so most of its members are what they always are; those
    that may be anything are encoded as anywhere else.
    """
    if record["parents"] or record["kwargs"] or record["notes"] or record["timeout"]:
        return encode_body(record)
    if "unique" in record or "limits" in record:
        return encode_body(record)
    args, expires = record["args"], record["expires"]
    try:
        body = _fresh(record, args, expires).encode()
    except (TypeError, RecursionError, ValueError) as error:
        raise _refusal("args", error) from None
    return _bounded(body)


def _fresh(record: Record, args: list[JSON], expires: float | None) -> str:
    return (
        f',"task":{_encode(record["task"])},"args":{_encode(args) if args else "[]"},"kwargs":{{}}'
        f',"queue":{_encode(record["queue"])},"priority":{record["priority"]}'
        f',"attempts":{record["attempts"]},"retries":0,"lax":{"true" if record["lax"] else "false"}'
        f',"parents":[],"notes":{{}},"timeout":null,"created":{record["created"]!r}'
        f',"delayed":{record["delayed"]!r},"expires":{"null" if expires is None else repr(expires)}'
        f',"retried":null{_UNTOUCHED.decode()}'
    )


def encode_body(record: Record) -> bytes:
    """The JSON of a record whose `id`, its first member, is not known yet."""
    body = encode_json(record, "job")
    return _bounded(body[body.index(b",") : -1])


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_SIZE - 64:
        raise InvalidValue(
            f"job: {len(body)} bytes of JSON are more than the {MAX_SIZE} a job may have; "
            "keep large data in a file and pass its path"
        )
    return body


def seal(body: bytes, id: int) -> bytes:
    """The bytes of a job's file: the id before what `encode_body` made, the checksum behind."""
    whole = b'{"id":%d%b' % (id, body)
    return b'%b,"sum":"%08x"}\n' % (whole, zlib.crc32(whole))


def decode(data: bytes) -> Record:
    """The record in a published file. Raises JobCorrupt unless it is whole and well formed."""
    found = _SUM.fullmatch(data, max(0, len(data) - _SUM_LENGTH))
    if found is None:
        raise JobCorrupt("it is cut off, or was not written by spoolq: no checksum at its end")
    body = data[:-_SUM_LENGTH]
    if zlib.crc32(body) != int(found[1], 16):
        raise JobCorrupt(
            "its checksum does not match: it was damaged, or edited in place "
            "(to change a job, edit a copy and move that into inactive/)"
        )
    return check_record(parse(body + b"}"))


def parse(data: bytes) -> Any:
    """Strict JSON. Raises JobCorrupt for what two readers could understand differently.

    Refused: more than MAX_SIZE bytes, more than 64 levels, duplicate keys, NaN and infinities,
    numbers beyond a double or of more than 4,300 digits, anything that is not UTF-8, a byte
    order mark, lone surrogates.
    """
    if len(data) > MAX_SIZE:
        raise JobCorrupt(f"it is larger than {MAX_SIZE} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JobCorrupt(f"it is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise JobCorrupt("it begins with a byte order mark")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise JobCorrupt(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise JobCorrupt(f"it is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise JobCorrupt(f"it is not JSON: {error}") from None
    if "\\ud" in text or "\\uD" in text:
        try:
            _encode(value).encode()
        except UnicodeEncodeError:
            raise JobCorrupt("it has a lone surrogate in a string") from None
    return value


# Possessive, and a string may be cut off: else a file of nothing but quotes would cost its square.
@functools.cache
def _brackets() -> re.Pattern[str]:
    return re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _brackets().finditer(text):
        bracket = token[0]
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif bracket in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        double = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {double[:60]!r} stands twice in one object")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is beyond a double")
    return value


def _constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_number, parse_constant=_constant
)


# -- the shape of a record -----------------------------------------------------------------------


_FAR: Final = 9e11  # seconds; in µs a time has to fit into the 18 digits of a name


def _time(value: Any) -> float | None:
    if value is None or (type(value) in (int, float) and abs(value) < _FAR):
        return value  # type: ignore[no-any-return]
    raise InvalidType(f"{value!r:.40} is no time")


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise InvalidType(f"{value!r:.40} is no list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidType(f"{value!r:.40} is no object")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise InvalidType(f"{value!r:.40} is no count")
    return value


def _parents(value: Any) -> list[int]:
    if not _are_ids(value):
        raise InvalidType(f"{value!r:.40} is no list of ids")
    return value  # type: ignore[no-any-return]


def _are_ids(value: Any) -> bool:
    return type(value) is list and (
        not value
        or ({*map(type, value)} == {int} and min(value) >= -MAX_ID and max(value) <= MAX_ID)
    )


_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": _count,
    "task": check_task,
    "args": _list,
    "kwargs": _object,
    "queue": check_queue,
    "priority": check_priority,
    "attempts": check_attempts,
    "retries": _count,
    "lax": lambda value: check_flag(value, "lax"),
    "parents": _parents,
    "notes": _object,
    "timeout": lambda value: None if value is None else check_timeout(value),
    "created": _time,
    "delayed": _time,
    "expires": _time,
    "retried": _time,
    "started": _time,
    "finished": _time,
    "worker": lambda value: None if value is None else _count(value),
    "exit": lambda value: None if value is None else _object(value),
    "history": _list,
}
_REQUIRED: Final = frozenset(_FIELDS) | {"result"}


def check_record(value: Any) -> Record:
    """A parsed file as a record. Raises JobCorrupt naming the first field that is wrong.

    Fields this version does not know are kept: a newer minor version may have written them.
    """
    if type(value) is not dict:
        raise JobCorrupt("it holds no JSON object")
    if not value.keys() >= _REQUIRED:
        raise JobCorrupt(f"the field {min(_REQUIRED - value.keys())!r} is missing")
    if not _plain(value):
        _find_wrong(value)
    if "unique" in value or "limits" in value:
        _check_gates(value)
    return value


def _check_gates(value: Record) -> None:
    from spoolq.gates import check_members  # as in `new_record`

    try:
        check_members(value)
    except (InvalidType, InvalidValue) as error:
        raise JobCorrupt(f"what the job has to pass is wrong: {error}") from None


def _plain(value: Record) -> bool:
    """Whether a record is one of the common kind, whose fields need no closer look: 2 µs, not 8."""
    return (
        type(value["id"]) is int
        and 0 < value["id"] <= MAX_ID
        and type(value["task"]) is str
        and value["task"] != ""
        and type(value["args"]) is list
        and type(value["kwargs"]) is dict
        and type(value["queue"]) is str
        and value["queue"].isalnum()
        and value["task"].isalnum()
        and type(value["priority"]) is int
        and -MAX_ID <= value["priority"] <= MAX_ID
        and type(value["attempts"]) is int
        and value["attempts"] >= 0
        and type(value["retries"]) is int
        and 0 <= value["retries"] <= MAX_ID
        and type(value["lax"]) is bool
        and _are_ids(value["parents"])
        and type(value["notes"]) is dict
        and value["timeout"] is value["exit"] is value["expires"] is value["retried"] is None
        and value["started"] is value["finished"] is value["worker"] is None
        and type(value["created"]) is type(value["delayed"]) is float
        and -_FAR < value["created"] < _FAR
        and -_FAR < value["delayed"] < _FAR
        and value["history"] == []
    )


def _find_wrong(value: Record) -> None:
    for field, check in _FIELDS.items():
        try:
            check(value[field])
        except (InvalidType, InvalidValue) as error:
            raise JobCorrupt(f"the field {field!r} is wrong: {error}") from None
    if value["created"] is None or value["delayed"] is None:
        raise JobCorrupt("a job without `created` and `delayed` has no place in time")


__all__ = [
    "MAX_SIZE",
    "check_json",
    "check_record",
    "decode",
    "encode",
    "encode_json",
    "parse",
]
