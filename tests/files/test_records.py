"""Records: what is written is read again, and what anybody else wrote is read strictly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spoolq.errors import InvalidType, InvalidValue, JobCorrupt
from spoolq.files import records
from spoolq.transitions import new_record

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4),
    max_leaves=20,
)


def a_record(**fields: Any) -> dict[str, Any]:
    return {**new_record("notify", ["hi"], None, 1_700_000_000.0), "id": 17, **fields}


def sealed(record: dict[str, Any]) -> bytes:
    """The record as a file with the right checksum, whatever is in it."""
    body = json.dumps({key: value for key, value in record.items() if key != "id"})
    return records.seal(b"," + body[1:-1].encode(), record["id"])


@given(st.lists(VALUES, max_size=4), st.dictionaries(TEXTS, VALUES, max_size=3))
def test_a_record_that_is_written_is_read_again(args: list[Any], notes: dict[str, Any]) -> None:
    record = a_record(args=args, notes=notes, kwargs=notes, result=args)
    assert records.decode(records.encode(record)) == {**record}


@given(st.lists(VALUES, max_size=3), TEXTS.filter(bool), st.floats(-1e9, 1e9))
def test_a_fresh_record_is_written_as_any_other(args: list[Any], text: str, when: float) -> None:
    task = text.replace("\0", "0")
    record = new_record(task, args, None, when, queue=task, priority=-3, attempts=2, lax=True)
    assert records.encode_fresh(record) == records.encode_body(record)


def test_a_file_is_one_line_that_cat_and_jq_can_show() -> None:
    data = records.encode(a_record(args=["line\nbreak", "ü🦀"]))

    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    assert "ü🦀".encode() in data
    assert json.loads(data)["id"] == 17


@pytest.mark.parametrize("position", range(len(records.encode(a_record()))))
def test_every_flipped_bit_of_a_published_file_is_noticed(position: int) -> None:
    whole = records.encode(a_record())
    for bit in range(8):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        with pytest.raises(JobCorrupt):
            records.decode(bytes(damaged))


@pytest.mark.parametrize("length", range(0, len(records.encode(a_record())), 7))
def test_a_file_that_is_cut_off_anywhere_is_noticed(length: int) -> None:
    with pytest.raises(JobCorrupt, match="cut off"):
        records.decode(records.encode(a_record())[:length])


def test_a_file_with_more_behind_its_checksum_is_noticed() -> None:
    with pytest.raises(JobCorrupt, match="cut off"):
        records.decode(records.encode(a_record()) + b"\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    {
        "empty": (b"", "not JSON"),
        "garbage": (b"}{", "not JSON"),
        "binary": (bytes(range(256)), "not UTF-8 at byte 128"),
        "a torn one": (b'{"task": "no', "not JSON"),
        "two values": (b"{} {}", "not JSON"),
        "NUL": (b"\0", "not JSON"),
        "NUL in a string": (b'"\0"', "not JSON"),
        "latin-1": ('"ü"'.encode("latin-1"), "not UTF-8 at byte 1"),
        "utf-16": ('{"task": "a"}'.encode("utf-16"), "not UTF-8"),
        "an encoded surrogate": (b'"\xed\xa0\x80"', "not UTF-8"),
        "an overlong slash": (b'"\xc0\xaf"', "not UTF-8"),
        "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
        "lone surrogate": (b'{"a": "\\ud800"}', "lone surrogate"),
        "lone surrogate as a key": (b'{"\\uDfff": 1}', "lone surrogate"),
        "surrogates the wrong way round": (b'"\\udc00\\ud800"', "lone surrogate"),
        "NaN": (b"[NaN]", "no JSON number"),
        "Infinity": (b"[Infinity]", "no JSON number"),
        "-Infinity": (b"[-Infinity]", "no JSON number"),
        "1e999": (b"[1e999]", "beyond a double"),
        "-1e999": (b"[-1e999]", "beyond a double"),
        "5,000 digits": (b"[" + b"9" * 5000 + b"]", "not JSON"),
        "65 levels": (b"[" * 65 + b"]" * 65, "nested"),
        "100,000 levels": (b"[" * 100_000, "nested"),
        "100,000 objects": (b'{"a":' * 100_000, "nested"),
        "the same key twice": (b'{"a": 1, "a": 1}', "'a' stands twice"),
        "the same key twice, written differently": (b'{"a": 1, "\\u0061": 1}', "'a' stands twice"),
        "the same key twice, deep inside": (b'{"b": [{"a": 1, "a": 2}]}', "'a' stands twice"),
        "a comment": (b"{} // no", "not JSON"),
        "single quotes": (b"{'a': 1}", "not JSON"),
        "too large": (b" " * (records.MAX_SIZE + 1), "larger than"),
    }.values(),
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_what_two_readers_could_understand_differently_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(JobCorrupt, match=reason):
        records.parse(data)


@pytest.mark.parametrize(
    "data",
    [b'"\\ud83e\\udd80"', b"[" * 64 + b"]" * 64, b'"[[[["', b" { } \n", b"1e308", b'"\\\\ud800"'],
)
def test_what_is_unusual_and_clear_is_read(data: bytes) -> None:
    assert records.parse(data) == json.loads(data)


@given(st.text(st.sampled_from('"\\[]{}a\n'), max_size=40))
@example('"\\"[[[[')
@example('"\\')
def test_brackets_are_counted_outside_of_strings_only(text: str) -> None:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return
    assert records._depth(text) == _depth(value)


def _depth(value: Any) -> int:
    if isinstance(value, list | dict):
        inside = value if isinstance(value, list) else value.values()
        return 1 + max(map(_depth, inside), default=0)
    return 0


# Made when they are needed: every test forks the process that holds them.
MADE_TO_BE_SLOW: dict[str, Callable[[], bytes]] = {
    "escaped quotes": lambda: b'"' + b'\\"' * 1_000_000 + b"[" * 65,
    "quotes": lambda: b'"' * 1_000_001 + b"[" * 65,
    "many keys, the last one twice": lambda: (
        b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b',"199999":1}'
    ),
}


@pytest.mark.parametrize("make", MADE_TO_BE_SLOW.values(), ids=MADE_TO_BE_SLOW)
def test_a_file_made_to_be_slow_is_refused_at_once(make: Callable[[], bytes]) -> None:
    """Found in review: both took a time that grew with the square of the file."""
    data = make()
    began = time.process_time()
    with pytest.raises(JobCorrupt):
        records.parse(data)
    assert time.process_time() - began < 2


WRONG: dict[str, list[Any]] = {
    "id": [None, "17", 17.0, True, -1, 2**63],
    "task": [None, "", 1, "a\0b", []],
    "args": [None, {}, "text"],
    "kwargs": [None, [], "text"],
    "queue": [None, 1, "a\0b"],
    "priority": [None, 1.5, "1", True, 2**64],
    "attempts": [None, 1.5, -1, "1"],
    "retries": [None, -1, 1.5, "0"],
    "lax": [None, 2, "yes"],
    "parents": [None, {}, ["1"], [1.0], [True], [2**64]],
    "notes": [None, []],
    "timeout": [0, -1, "1", 1e300],
    "created": [None, "now", 1e15, 2**80, True],
    "delayed": [None, "now", -1e15],
    "expires": ["never", 1e13],
    "retried": ["x"],
    "started": [{}],
    "finished": [[]],
    "worker": ["1", -1, 1.5],
    "exit": [0, []],
    "history": [None, {}],
}


@pytest.mark.parametrize(("field", "wrong"), [(f, w) for f, ws in WRONG.items() for w in ws])
def test_a_field_of_the_wrong_type_is_named(field: str, wrong: Any) -> None:
    with pytest.raises(JobCorrupt, match=f"`?{field}"):
        records.check_record(a_record(**{field: wrong}))


@given(st.sampled_from([*WRONG, "result"]), VALUES)
def test_the_short_check_of_a_common_record_lets_nothing_wrong_through(
    field: str, value: Any
) -> None:
    record = a_record(**{field: value})
    if records._plain(record):
        records._find_wrong(record)


@pytest.mark.parametrize("field", [*WRONG, "result"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    record = a_record()
    del record[field]
    with pytest.raises(JobCorrupt, match=f"{field!r} is missing"):
        records.check_record(record)


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_a_file_that_holds_no_object_is_no_job(value: Any) -> None:
    with pytest.raises(JobCorrupt, match="no JSON object"):
        records.check_record(value)


def test_a_field_of_a_newer_minor_version_is_kept() -> None:
    record = a_record(colour="green")
    assert records.decode(sealed(record))["colour"] == "green"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), InvalidValue),
        (float("inf"), InvalidValue),
        ("\ud800", InvalidValue),
        ({1, 2}, InvalidType),
        (b"bytes", InvalidType),
    ],
    ids=repr,
)
def test_what_json_cannot_carry_is_refused_before_it_is_written(
    value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="args"):
        records.encode_json([value], "args")


def test_a_record_of_more_than_16_mib_is_refused_with_advice() -> None:
    with pytest.raises(InvalidValue, match="keep large data in a file"):
        records.encode(a_record(args=["x" * records.MAX_SIZE]))
