"""The grammar of names: what is made is parsed again, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spoolq.files import names
from spoolq.files.names import JobName
from spoolq.files.places import Place, delayed, parse_code, ready, waiting
from spoolq.files.store import FileBackend
from tests.support import ODD_NAMES

TEXTS = st.text(st.characters(codec=None), max_size=80) | st.text("a/.%~\0ü", max_size=300)
NUMBERS = st.integers(0, 10**9 - 1)
TIMES = st.none() | st.integers(1 - 10**18, 10**18 - 1)
NAMES = st.builds(
    JobName,
    id=st.integers(0, 2**63 - 1),
    epoch=NUMBERS,
    revision=NUMBERS,
    nonce=st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32),
    due=TIMES,
    expires=TIMES,
    started=TIMES,
    finished=TIMES,
    family=st.none() | st.text("0123456789abcdef", min_size=10, max_size=10),
    task=TEXTS.map(names.encode),
)


@given(NAMES)
def test_a_name_that_is_made_is_parsed_to_what_it_was_made_of(name: JobName) -> None:
    assert names.parse(str(name)) == name


@given(NAMES)
def test_a_name_is_one_path_component_that_fits(name: JobName) -> None:
    text = str(name)

    assert text.isascii()
    assert text.isprintable()
    assert "/" not in text
    assert len(text) <= 255
    assert text.startswith(f"{name.id}.")
    assert text.endswith(".json")


@given(NAMES)
def test_the_short_ways_to_read_a_name_agree_with_the_grammar(name: JobName) -> None:
    assert names.job_id(str(name)) == name.id
    assert names.task_of(str(name)) == name.task


@given(st.from_regex(r"[0-9]{1,3}\.[0-9]{1,2}\.[0-9]{1,2}\.a(\.[dxsf]-?[0-9]{1,3})*\.b\.json"))
@example("017.0.0.a.b.json")
@example("17.00.0.a.b.json")
@example("17.0.0.a.d-0.b.json")
@example("17.0.0.a.b.json\n")
@example("17.0.0.a.b.json.bak")
@example(".17.0.0.a.b.json")
@example("9999999999999999999.0.0.a.b.json")
@example("\u0661.0.0.a.b.json")
def test_no_two_names_say_the_same(text: str) -> None:
    parsed = names.parse(text)
    assert parsed is None or str(parsed) == text


@given(TEXTS)
@example("")
@example("%")
@example("%41")
@example("~")
@example("\ud800")
def test_a_users_string_comes_back_from_its_path_component(text: str) -> None:
    encoded = names.encode(text)

    assert "/" not in encoded
    assert encoded not in ("", ".", "..")
    assert not encoded.startswith(".")
    assert 0 < len(encoded) <= 100
    assert names.decode(encoded) == (None if "~" in encoded else text)


@given(TEXTS, TEXTS)
def test_different_strings_have_different_path_components(one: str, other: str) -> None:
    assert (names.encode(one) == names.encode(other)) is (one == other)


@given(st.text(max_size=50))
def test_a_path_component_that_nobody_encoded_is_not_decoded_to_another(text: str) -> None:
    decoded = names.decode(text)
    assert decoded is None or names.encode(decoded) == text


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_an_odd_string_is_a_queue_a_task_and_a_lock_like_any_other(
    files: FileBackend, worker: int, root: Path, name: str
) -> None:
    job = files.enqueue(name, queue=name)
    files.lock(name, 60)

    claimed = files.dequeue(worker, queues=[name], tasks=[name])

    assert claimed is not None
    assert claimed["id"] == job
    assert [lock.name for lock in files.list_locks().rows] == [name]
    assert sorted(os.listdir(root.parent)) == ["spool"]


@given(TEXTS, st.integers(-(2**63), 2**63), st.integers(1, 2**63))
def test_a_place_comes_back_from_its_code(queue: str, priority: int, parent: int) -> None:
    for place in (ready(queue, priority), delayed(queue, parent), waiting(queue, parent)):
        assert parse_code(place.code) == place
        in_batch = place._replace(batch="b1-256-k2")
        assert parse_code(in_batch.code) == in_batch
        assert len(in_batch.code) <= 200


@pytest.mark.parametrize(
    "code",
    ["", "ready", "ready+q", "ready++1", "ready+q+x", "waiting+q+..", "delayed+q+1e9", "ready+..+1",
     "ready+q+1+x", "ready+q+1+b+b", "finished+1", "lost", "active", "ready+q+\u0661"],
)  # fmt: skip
def test_what_is_no_code_is_no_place(code: str) -> None:
    assert parse_code(code) is None


def test_a_forked_child_makes_other_names_than_its_parent(tmp_path: Path) -> None:
    parents = {names.nonce() for _ in range(100)}
    seen = tmp_path / "seen"
    pid = os.fork()
    if pid == 0:
        seen.write_text("\n".join(names.nonce() for _ in range(100)))
        os._exit(0)
    os.waitpid(pid, 0)

    assert parents.isdisjoint(seen.read_text().split())


def test_ls_17_finds_job_17_and_no_other(files: FileBackend, root: Path) -> None:
    files.enqueue_many(["notify"] * 200)

    [found] = list((root / "inactive/default/0").glob("*/*/17.*"))

    assert '"id":17,' in found.read_text()
    assert found.name.endswith(".notify.json")


def test_the_directory_of_a_job_says_its_state(files: FileBackend, worker: int, root: Path) -> None:
    from tests.files.look import state_of

    files.enqueue("a", priority=3)
    files.enqueue("b", priority=2)
    waits = files.enqueue("c", priority=9, parents=[1])
    later = files.enqueue("d", delay=100)
    states = [state_of(root, 1)]
    files.dequeue(worker)
    states.append(state_of(root, 1))
    files.finish_job(1, 0)
    files.dequeue(worker, id=2)
    files.fail_job(2, 0)

    assert states == ["inactive", "active"]
    assert [state_of(root, id_) for id_ in (1, 2, waits, later)] == [
        "finished", "failed", "inactive", "inactive",
    ]  # fmt: skip


def test_the_places_of_inactive_jobs_are_named_as_the_format_says() -> None:
    assert ready("high", -3) == Place("ready", "high", "-3")
    assert delayed("a b", 7300) == Place("delayed", "a%20b", "2")
    assert waiting("high", 17) == Place("waiting", "high", "17")
