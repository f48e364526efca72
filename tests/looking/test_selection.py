"""One grammar of selectors: what unites, what intersects, and what is refused with a hint."""

from __future__ import annotations

import pytest

from spoolq.errors import InvalidValue
from spoolq.selection import MOST, parse
from tests.looking.conftest import MakeJob


def test_ids_ranges_and_commas_unite() -> None:
    chosen = parse(["7", "9-12", "1,4"])

    assert chosen.ids == {7, 1, 4}
    assert chosen.ranges == (range(9, 13),)


def test_last_counts_back_from_the_newest() -> None:
    assert parse(["last", "last~2"]).last == {0, 2}


def test_the_same_key_twice_unites(job: MakeJob) -> None:
    chosen = parse(["queue:a", "queue:b"])

    assert [chosen.matches(job(queue=queue), "ready") for queue in "abc"] == [True, True, False]


def test_different_keys_intersect(job: MakeJob) -> None:
    chosen = parse(["queue:a", "task:t"])

    assert chosen.matches(job(queue="a", task="t"), "ready")
    assert not chosen.matches(job(queue="a", task="u"), "ready")
    assert not chosen.matches(job(queue="b", task="t"), "ready")


@pytest.mark.parametrize(
    ("word", "given", "view", "matches"),
    [
        ("state:failed", {"state": "failed"}, "failed", True),
        ("state:failed", {}, "ready", False),
        ("state:inactive", {}, "blocked", True),
        ("state:blocked", {}, "blocked", True),
        ("state:blocked", {}, "ready", False),
        ("state:ready,delayed", {}, "delayed", True),
        ("queue:gpu*", {"queue": "gpu0"}, "ready", True),
        ("queue:gpu*", {"queue": "cpu"}, "ready", False),
        ("queue:*", {"queue": "*"}, "ready", True),
        ("queue:", {"queue": ""}, "ready", True),
        ("task:a:b", {"task": "a:b"}, "ready", True),
        ("worker:3", {"worker": 3}, "active", True),
        ("worker:3", {"worker": None}, "ready", False),
        ("note:batch", {"notes": {"batch": 0}}, "ready", True),
        ("note:batch", {}, "ready", False),
        ("note:batch=7", {"notes": {"batch": 7}}, "ready", True),
        ("note:batch=7", {"notes": {"batch": "7"}}, "ready", True),
        ("note:batch=7", {"notes": {"batch": 8}}, "ready", False),
        ("parent:5", {"parents": [4, 5]}, "blocked", True),
        ("parent:5", {"parents": []}, "ready", False),
        ("priority:-5", {"priority": -5}, "ready", True),
        ("priority:5", {"priority": 0}, "ready", False),
    ],
)
def test_each_key_says_what_it_matches(
    job: MakeJob, word: str, given: dict[str, object], view: str, matches: bool
) -> None:
    assert parse([word]).matches(job(**given), view) is matches  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("state:faild", "did you mean 'failed'?"),
        ("state:redy", "did you mean 'ready'?"),
        ("state:zzz", "known: inactive, active"),
        ("stat:failed", "did you mean 'state'?"),
        ("zzz:1", "known: state, queue"),
        ("lats", "did you mean 'last'?"),
        ("task:", "what?"),
        ("worker:me", "is no id"),
        ("x", "is no id"),
        ("²", "is no id"),
        ("1.5", "is no id"),
        ("", "is no id"),
        ("1-", "is no id"),
        ("1-2-3", "is no id"),
        ("9-7", "the smaller id comes first"),
        (f"1-{MOST + 2}", "more than"),
        ("9" * 19, "is no id"),
        ("last~x", "is no id"),
    ],
)
def test_what_is_wrong_is_refused_with_what_was_meant(word: str, hint: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse([word])

    assert hint in str(refused.value)


def test_only_one_id_alone_is_one_job() -> None:
    assert parse(["7"]).is_one
    assert parse(["last"]).is_one
    assert not any(parse(words).is_one for words in (["7", "8"], ["7-7"], ["7", "queue:a"], []))


def test_all_is_said_out_loud() -> None:
    assert parse([]).is_empty
    assert not parse(["all"]).is_empty
    assert not parse(["all", "7"]).names_ids
