"""The short ways of writing a record write what the long way writes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spoolq.files import names, records
from spoolq.transitions import Record, failed, finished, new_record

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
_TIMES = st.floats(0, 4e9)

_fresh = st.builds(
    new_record,
    _TEXT,
    st.lists(_JSON, max_size=3),
    st.none() | st.dictionaries(_TEXT, _JSON, max_size=2),
    _TIMES,
    attempts=st.integers(0, 9),
    delay=st.floats(-1e6, 1e6),
    expire=st.none() | st.floats(-1e6, 1e6),
    lax=st.booleans(),
    notes=st.none() | st.dictionaries(_TEXT, _JSON, max_size=2),
    parents=st.lists(st.integers(1, 1000), max_size=3),
    priority=st.integers(-100, 100),
    queue=_TEXT,
    timeout=st.none() | st.floats(0.1, 1e6),
)


@given(record=_fresh)
def test_a_fresh_record_is_written_as_any_other(record: Record) -> None:
    assert records.encode_fresh(record) == records.encode_body(record)


@given(record=_fresh, result=_JSON, ok=st.booleans(), again=st.booleans())
def test_an_ended_record_is_written_as_any_other(
    record: Record, result: Any, ok: bool, again: bool
) -> None:
    record["id"] = 7
    if again:
        record = finished(record, "an earlier attempt", 5.0)
    before = records.encode(record)
    running = {**record, "started": 1.5, "worker": 3}

    ended = (
        finished(running, result, 2.5) if ok else failed({**running, "attempts": 1}, result, 2.5)[1]
    )
    if not ok:
        ended["attempts"] = record["attempts"]

    assert records.encode_ended(ended, before) == records.encode(ended)


@given(
    id=st.integers(1, 2**63 - 1),
    due=st.integers(0, 4 * 10**15),
    expires=st.none() | _TIMES,
    task=_TEXT,
)
def test_a_fresh_name_is_written_as_any_other(
    id: int, due: int, expires: float | None, task: str
) -> None:
    lapses = None if expires is None else names.micros(expires)
    encoded = names.encode(task)
    name = names.JobName(id, 0, 0, "abc1", due, lapses, None, None, None, encoded)

    assert names.fresh(id, "abc1", due, expires, encoded) == str(name)


@given(
    id=st.integers(1, 2**63 - 1),
    epoch=st.integers(0, 9),
    revision=st.integers(0, 9),
    due=st.integers(0, 4 * 10**15),
    expires=st.none() | st.integers(0, 4 * 10**15),
    family=st.none() | st.text("0123456789abcdef", min_size=10, max_size=10),
    task=_TEXT,
)
def test_a_claimed_name_is_what_the_grammar_makes_of_it(
    id: int,
    epoch: int,
    revision: int,
    due: int,
    expires: int | None,
    family: str | None,
    task: str,
) -> None:
    encoded = names.encode(task)
    name = names.JobName(id, epoch, revision, "a", due, expires, None, None, family, encoded)

    claimed = names.claimed(str(name), "b", 5)

    wanted = name._replace(nonce="b", due=None, expires=None, started=5)
    assert claimed == (wanted, str(wanted))
