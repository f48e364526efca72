"""What a new job looks like, and what is refused instead of becoming one [1-32]."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from tests.support import ODD_NAMES, FakeClock, claim, drain, info, lookup

JSON_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    12345678901234567890,
    -(2**63),
    0.1,
    1e300,
    "",
    "grün 🦀 \u2028 \x7f",
    'quote " backslash \\ newline \n',
    [],
    {},
    [[3]],
    {"first": [{"second": "test"}]},
    {"": {"": None}},
]


@pytest.mark.minion(1)
def test_a_job_with_only_a_task_has_the_defaults(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo"))

    assert (job.state, job.args, job.kwargs, job.attempts) == ("inactive", [], {}, 1)
    assert (job.priority, job.queue, job.retries, job.notes) == (0, "default", 0, {})
    assert (job.parents, job.children, job.lax, job.timeout) == ([], [], False, None)


@pytest.mark.minion(2)
def test_a_new_job_has_no_past(backend: Backend, clock: FakeClock) -> None:
    job = info(backend, backend.enqueue("foo"))

    assert (job.expires, job.finished, job.result) == (None, None, None)
    assert (job.retried, job.started, job.worker) == (None, None, None)
    assert (job.exit, job.history) == (None, [])
    assert job.created == job.delayed == pytest.approx(clock.wall())
    assert job.time == pytest.approx(clock.wall())


@pytest.mark.minion(3)
def test_a_job_is_there_as_soon_as_it_has_an_id_and_no_other_is(backend: Backend) -> None:
    job_id = backend.enqueue("foo")

    assert info(backend, job_id).id == job_id
    assert lookup(backend, 12345) is None


@pytest.mark.minion(4)
def test_ids_grow_over_all_queues_and_tasks_and_are_never_used_again(backend: Backend) -> None:
    first = backend.enqueue("foo")
    second = backend.enqueue("bar", queue="other")
    backend.remove_job(second)

    third = backend.enqueue("foo")

    assert 0 < first < second < third


@pytest.mark.minion(6)
def test_ids_grow_past_a_refused_job(backend: Backend) -> None:
    first = backend.enqueue("foo")
    with pytest.raises(InvalidType):
        backend.enqueue("foo", [object()])

    assert backend.enqueue("foo") > first


@pytest.mark.minion(7)
def test_an_id_in_decimal_digits_is_the_same_id_everywhere(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    digits = str(job_id)

    assert info(backend, digits).id == job_id
    assert backend.note(digits, {"a": 1})
    assert claim(backend, worker, id=digits)["id"] == job_id
    assert backend.finish_job(digits, 0)
    assert backend.retry_job(digits, 0)
    assert claim(backend, worker)["id"] == job_id
    assert backend.fail_job(digits, 1)
    assert info(backend, backend.enqueue("bar", parents=[digits])).parents == [job_id]
    assert backend.remove_job(digits)


def test_an_object_with_an_id_is_that_id(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo"))

    child = backend.enqueue("foo", parents=[job])

    assert info(backend, child).parents == [job.id]
    assert backend.note(job, {"a": 1})


@pytest.mark.minion(8, 9)
@pytest.mark.parametrize("value", JSON_VALUES, ids=repr)
def test_arguments_survive_a_round_trip(backend: Backend, worker: int, value: Any) -> None:
    args, kwargs = [value, [value]], {"key": value}

    job_id = backend.enqueue("foo", args, kwargs)

    assert (info(backend, job_id).args, info(backend, job_id).kwargs) == (args, kwargs)
    claimed = claim(backend, worker)
    assert (claimed["args"], claimed["kwargs"]) == (args, kwargs)
    assert [type(arg) for arg in claimed["args"]] == [type(arg) for arg in args]


@pytest.mark.minion(10)
def test_a_nul_inside_an_argument_is_just_a_character(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", ["a\0b"], {"k\0": "\0"}, notes={"\0": 1})

    assert claim(backend, worker)["args"] == ["a\0b"]
    assert info(backend, job_id).kwargs == {"k\0": "\0"}
    assert info(backend, job_id).notes == {"\0": 1}


def test_tuples_become_lists(backend: Backend) -> None:
    job_id = backend.enqueue("foo", (1, (2, 3)), {"t": (4,)}, notes={"n": (5,)})

    job = info(backend, job_id)

    assert (job.args, job.kwargs, job.notes) == ([1, [2, 3]], {"t": [4]}, {"n": [5]})


def test_what_the_caller_changes_afterwards_does_not_reach_the_job(backend: Backend) -> None:
    args, kwargs, notes = [[1]], {"a": [1]}, {"b": [1]}
    job_id = backend.enqueue("foo", args, kwargs, notes=notes)

    for values in (args[0], kwargs["a"], notes["b"]):
        values.append(2)
    info(backend, job_id).args.append("mine")

    job = info(backend, job_id)
    assert (job.args, job.kwargs, job.notes) == ([[1]], {"a": [1]}, {"b": [1]})


@pytest.mark.minion(11)
@pytest.mark.parametrize("args", [{"a": 1}, "text", b"bytes", 5, {1, 2}], ids=repr)
def test_arguments_that_are_no_list_are_refused(backend: Backend, args: Any) -> None:
    with pytest.raises(InvalidType, match="args"):
        backend.enqueue("foo", args)

    assert backend.list_jobs().total == 0


@pytest.mark.minion(12)
@pytest.mark.parametrize("name", ["notes", "kwargs"])
@pytest.mark.parametrize("value", [["a"], "text", 5], ids=repr)
def test_notes_and_named_arguments_that_are_no_object_are_refused(
    backend: Backend, name: str, value: Any
) -> None:
    with pytest.raises(InvalidType, match=name):
        backend.enqueue("foo", **{name: value})

    assert backend.list_jobs().total == 0


@pytest.mark.parametrize(
    "value", [b"bytes", {1, 2}, 1j, timedelta(1), {1: "number as a key"}], ids=repr
)
def test_what_json_cannot_carry_is_refused_wherever_it_is(backend: Backend, value: Any) -> None:
    with pytest.raises(InvalidType, match="args"):
        backend.enqueue("foo", [1, {"deep": [value]}])
    with pytest.raises(InvalidType, match="kwargs"):
        backend.enqueue("foo", [], {"key": value})
    with pytest.raises(InvalidType, match="notes"):
        backend.enqueue("foo", notes={"key": value})

    assert backend.list_jobs().total == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_refused(backend: Backend, number: float) -> None:
    for args, kwargs, notes in (
        ([number], {}, {}),
        ([[number]], {}, {}),
        ([], {"a": number}, {}),
        ([], {}, {"a": [number]}),
    ):
        with pytest.raises(InvalidValue):
            backend.enqueue("foo", args, kwargs, notes=notes)

    assert backend.list_jobs().total == 0


def test_arguments_nested_too_deep_are_refused(backend: Backend) -> None:
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]

    with pytest.raises(InvalidValue, match="deep"):
        backend.enqueue("foo", nested)


@pytest.mark.minion(13)
def test_an_unknown_option_is_refused(backend: Backend) -> None:
    with pytest.raises(TypeError):
        backend.enqueue("foo", prority=5)  # type: ignore[call-arg]  # the slip is the test
    with pytest.raises(TypeError):
        backend.enqueue_many(["foo"], prority=5)

    assert backend.list_jobs().total == 0


@pytest.mark.minion(14)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("attempts", "abc"),
        ("attempts", 1.5),
        ("attempts", None),
        ("attempts", True),
        ("priority", 1.5),
        ("priority", "5"),
        ("delay", "soon"),
        ("expire", "never"),
        ("timeout", "long"),
        ("lax", "yes"),
        ("queue", 5),
        ("queue", None),
        ("parents", 5),
        ("parents", "5"),
        ("parents", [None]),
        ("parents", [1.5]),
    ],
)
def test_an_option_of_the_wrong_type_is_refused(backend: Backend, option: str, value: Any) -> None:
    with pytest.raises(InvalidType, match=option.rstrip("s")):
        backend.enqueue("foo", **{option: value})

    assert backend.list_jobs().total == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("attempts", -1),
        ("priority", 2**64),
        ("delay", float("nan")),
        ("delay", float("inf")),
        ("expire", float("inf")),
        ("timeout", 0),
        ("timeout", -1),
        ("parents", ["abc"]),
        ("queue", "a\0b"),
    ],
)
def test_an_option_with_an_impossible_value_is_refused(
    backend: Backend, option: str, value: Any
) -> None:
    with pytest.raises(InvalidValue):
        backend.enqueue("foo", **{option: value})

    assert backend.list_jobs().total == 0


@pytest.mark.minion(14)
def test_fractions_of_a_second_are_fine(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo", delay=0.5, expire=2.5))

    assert job.delayed - job.created == pytest.approx(0.5, abs=1e-3)
    assert job.expires is not None
    assert job.expires - job.created == pytest.approx(2.5, abs=1e-3)


def test_a_timedelta_is_a_duration(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo", delay=timedelta(minutes=1), timeout=timedelta(1)))  # type: ignore[arg-type]  # accepted beside float

    assert job.delayed - job.created == pytest.approx(60)
    assert job.timeout == 86_400


@pytest.mark.minion(15)
def test_a_task_without_a_name_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidValue, match="task"):
        backend.enqueue("")
    with pytest.raises(InvalidValue, match="task"):
        backend.enqueue("a\0b")
    with pytest.raises(InvalidType, match="task"):
        backend.enqueue(5)  # type: ignore[arg-type]

    assert backend.list_jobs().total == 0


@pytest.mark.minion(16)
def test_a_task_nobody_knows_stays_inactive(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("nobody-knows-me")

    assert backend.dequeue(worker, tasks=["foo"]) is None
    assert info(backend, job_id).state == "inactive"


@pytest.mark.minion(17)
def test_without_a_delay_a_job_is_due_when_it_is_created(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo"))

    assert job.delayed <= job.created


@pytest.mark.minion(18)
def test_a_delayed_job_waits(backend: Backend, worker: int) -> None:
    job = info(backend, backend.enqueue("foo", delay=100))

    assert job.delayed - job.created == pytest.approx(100)
    assert backend.dequeue(worker, 0) is None
    assert backend.stats()["delayed_jobs"] == 1


@pytest.mark.minion(19)
def test_a_negative_delay_is_due_at_once(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", delay=-100)

    job = info(backend, job_id)
    assert job.delayed - job.created == pytest.approx(-100)
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(20)
def test_expire_is_counted_from_now(backend: Backend) -> None:
    job = info(backend, backend.enqueue("foo", expire=300))

    assert job.expires == pytest.approx(job.created + 300)


@pytest.mark.minion(21)
@pytest.mark.parametrize("expire", [0, -5])
def test_a_job_that_is_already_expired_has_an_id_and_is_never_seen(
    backend: Backend, worker: int, expire: float
) -> None:
    job_id = backend.enqueue("foo", expire=expire)

    assert job_id > 0
    assert lookup(backend, job_id) is None
    assert backend.dequeue(worker) is None


@pytest.mark.minion(22)
@pytest.mark.parametrize("priority", [100_000, -100_000, 2**62, -(2**62)])
def test_any_integer_is_a_priority(backend: Backend, priority: int) -> None:
    assert info(backend, backend.enqueue("foo", priority=priority)).priority == priority


@pytest.mark.minion(23)
def test_no_attempts_means_one(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", attempts=0)
    assert info(backend, job_id).attempts == 0
    claim(backend, worker)

    assert backend.fail_job(job_id, 0)

    assert info(backend, job_id).state == "failed"


@pytest.mark.minion(24)
def test_parents_need_not_exist(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", parents=[-1, 4711])

    assert info(backend, job_id).parents == [-1, 4711]
    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(25)
def test_parents_are_kept_as_they_are_given(backend: Backend) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")

    child = backend.enqueue("bar", parents=[second, first, first, str(first)])

    assert info(backend, child).parents == [second, first, first, first]


def test_parents_may_come_from_an_iterator(backend: Backend) -> None:
    first = backend.enqueue("foo")

    child = backend.enqueue("bar", parents=iter([first]))

    assert info(backend, child).parents == [first]


@pytest.mark.minion(26)
@pytest.mark.parametrize(
    "queue", [*ODD_NAMES.values(), "", "minion_foreground"], ids=[*ODD_NAMES, "empty", "reserved"]
)
def test_any_string_is_the_name_of_a_queue(backend: Backend, worker: int, queue: str) -> None:
    job_id = backend.enqueue("foo", queue=queue)

    assert info(backend, job_id).queue == queue
    assert [job.id for job in backend.list_jobs(queues=[queue]).rows] == [job_id]
    assert drain(backend, worker) == []
    assert drain(backend, worker, queues=[queue]) == [job_id]
    assert backend.finish_job(job_id, 0)


@pytest.mark.parametrize("task", ODD_NAMES.values(), ids=list(ODD_NAMES))
def test_any_string_that_is_not_empty_is_the_name_of_a_task(
    backend: Backend, worker: int, task: str
) -> None:
    job_id = backend.enqueue(task)

    assert [job.task for job in backend.list_jobs(tasks=[task]).rows] == [task]
    assert claim(backend, worker, tasks=[task])["task"] == task
    assert backend.finish_job(job_id, 0)


def test_long_names_that_differ_only_at_the_end_are_different_names(
    backend: Backend, worker: int
) -> None:
    left, right = "n" * 1000 + "a", "n" * 1000 + "b"
    backend.enqueue(left, queue=right)
    wanted = backend.enqueue(right, queue=left)

    assert drain(backend, worker, queues=[left], tasks=[right]) == [wanted]
    assert drain(backend, worker, queues=[left, right], tasks=[right]) == []


def test_names_that_differ_only_in_case_are_different_names(backend: Backend, worker: int) -> None:
    lower = backend.enqueue("foo", queue="mail")
    upper = backend.enqueue("Foo", queue="Mail")

    assert drain(backend, worker, queues=["Mail"]) == [upper]
    assert drain(backend, worker, queues=["mail"], tasks=["foo"]) == [lower]


@pytest.mark.minion(27)
def test_notes_are_there_before_the_job_runs(backend: Backend) -> None:
    notes = {"foo": [4, 5, 6], "bar": {"baz": None}}

    assert info(backend, backend.enqueue("foo", notes=notes)).notes == notes


@pytest.mark.minion(28)
def test_nulls_in_the_first_notes_stay_until_they_are_removed(backend: Backend) -> None:
    job_id = backend.enqueue("foo", notes={"x": None})
    assert info(backend, job_id).notes == {"x": None}

    backend.note(job_id, {"y": 1})

    assert info(backend, job_id).notes == {"x": None, "y": 1}


@pytest.mark.minion(30)
def test_looking_at_a_job_changes_nothing(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")

    assert info(backend, job_id) == info(backend, job_id)

    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(32)
def test_two_identical_jobs_are_two_jobs_and_need_no_worker(backend: Backend) -> None:
    backend.lock("foo", 3600)

    first, second = backend.enqueue("foo", [1]), backend.enqueue("foo", [1])

    assert first != second
    assert backend.list_jobs().total == 2


def test_a_timeout_is_kept(backend: Backend) -> None:
    assert info(backend, backend.enqueue("foo", timeout=30)).timeout == 30


def test_large_arguments_survive(backend: Backend, worker: int) -> None:
    backend.enqueue("foo", ["x" * 300_000])

    assert claim(backend, worker)["args"] == ["x" * 300_000]


# -- several at once -----------------------------------------------------------------------------


def test_a_batch_returns_the_ids_in_the_order_given(backend: Backend) -> None:
    ids = backend.enqueue_many(["foo", ("bar",), ["baz", [1]], ("yada", (2,), {"three": 4})])

    assert ids == sorted(set(ids))
    jobs = [info(backend, job_id) for job_id in ids]
    assert [(job.task, job.args, job.kwargs) for job in jobs] == [
        ("foo", [], {}),
        ("bar", [], {}),
        ("baz", [1], {}),
        ("yada", [2], {"three": 4}),
    ]


def test_the_jobs_of_a_batch_share_its_options(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")

    ids = backend.enqueue_many(
        [("bar", [number]) for number in range(3)],
        attempts=3,
        delay=60,
        expire=600,
        lax=True,
        notes={"batch": 1},
        parents=iter([parent]),
        priority=7,
        queue="images",
        timeout=5,
    )

    for number, job_id in enumerate(ids):
        job = info(backend, job_id)
        assert (job.args, job.attempts, job.lax, job.notes) == ([number], 3, True, {"batch": 1})
        assert (job.parents, job.priority, job.queue, job.timeout) == ([parent], 7, "images", 5)
        assert job.delayed == pytest.approx(job.created + 60)
        assert job.expires == pytest.approx(job.created + 600)


def test_the_jobs_of_a_batch_do_not_share_their_notes(backend: Backend) -> None:
    first, second = backend.enqueue_many(["foo", "foo"], notes={"a": 1})

    backend.note(first, {"a": 2})

    assert info(backend, second).notes == {"a": 1}


def test_a_batch_runs_in_order_with_delays_and_parents_respected(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    parent = backend.enqueue("foo")
    children = backend.enqueue_many(["bar"] * 3, parents=[parent])
    later = backend.enqueue_many(["bar"] * 3, delay=60)
    urgent = backend.enqueue_many(["bar"] * 3, priority=5)

    assert drain(backend, worker) == [*urgent, parent]
    backend.finish_job(parent, 0)
    assert drain(backend, worker) == children
    clock.advance(60)
    assert drain(backend, worker) == later


@pytest.mark.parametrize(
    "wrong",
    [
        ("foo", [b"bytes"]),
        ("foo", {"no": "list"}),
        ("foo", [float("nan")]),
        ("",),
        (),
        ("foo", [], {}, "more"),
        5,
        None,
    ],
    ids=repr,
)
def test_one_wrong_job_keeps_a_whole_batch_out(backend: Backend, wrong: Any) -> None:
    with pytest.raises((InvalidType, InvalidValue)):
        backend.enqueue_many(["foo", wrong, "bar"])

    assert backend.list_jobs().total == 0
    assert backend.stats()["inactive_jobs"] == 0


def test_one_wrong_option_keeps_a_whole_batch_out(backend: Backend) -> None:
    with pytest.raises(InvalidValue):
        backend.enqueue_many(["foo", "bar"], attempts=-1)

    assert backend.list_jobs().total == 0


def test_an_empty_batch_is_no_jobs(backend: Backend) -> None:
    assert backend.enqueue_many([]) == []
    assert backend.list_jobs().total == 0


def test_ids_go_on_after_a_batch(backend: Backend, worker: int) -> None:
    ids = backend.enqueue_many(["foo"] * 120)

    later = backend.enqueue("foo")

    assert later > ids[-1]
    assert drain(backend, worker) == [*ids, later]
