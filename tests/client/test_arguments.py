"""Arguments of tasks: checked where they are given, JSON on the disk, typed again in the task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
    assert_type,
)
from uuid import UUID

import pytest

from spoolq import Job, Spool
from spoolq.arguments import decoder, to_json
from spoolq.errors import InvalidType, InvalidValue

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    made: datetime
    points: list[Point] = field(default_factory=list)
    colour: Colour | None = None


class Options(TypedDict, total=False):
    path: Path
    width: int


class Place(NamedTuple):
    path: Path
    line: int = 1


@dataclass
class Tree:
    name: Path
    branches: list[Tree] = field(default_factory=list)


@dataclass
class Measured:
    path: Path
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = len(str(self.path))


@dataclass
class Page(Generic[T]):
    items: list[T]
    after: T | None = None


NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "hint", "json_form"),
    [
        (1, int, 1),
        ("a", str, "a"),
        (UserId(7), UserId, 7),
        (Colour.RED, Colour, "red"),
        (NOON, datetime, "2026-03-29T12:00:00+00:00"),
        (date(2026, 3, 29), date, "2026-03-29"),
        (time(12, 30), time, "12:30:00"),
        (timedelta(minutes=1.5), timedelta, 90.0),
        (ID, UUID, str(ID)),
        (Path("/a/b"), Path, "/a/b"),
        (Decimal("1.10"), Decimal, "1.10"),
        (Point(1, 2), Point, {"x": 1, "y": 2}),
        (
            Drawing(NOON, [Point(1, 2)], Colour.BLUE),
            Drawing,
            {
                "made": "2026-03-29T12:00:00+00:00",
                "points": [{"x": 1, "y": 2}],
                "colour": "blue",
            },
        ),
        ({"path": Path("/a"), "width": 3}, Options, {"path": "/a", "width": 3}),
        ([Path("a"), Path("b")], list[Path], ["a", "b"]),
        ([Path("a")], Sequence[Path], ["a"]),
        ((1, "b"), tuple[int, str], [1, "b"]),
        ((Path("a"), 2), tuple[Path, int], ["a", 2]),
        ((1, 2, 3), tuple[int, ...], [1, 2, 3]),
        ({3}, set[int], [3]),
        (frozenset({3}), frozenset[int], [3]),
        ({"a": Path("b")}, dict[str, Path], {"a": "b"}),
        ({"a": Path("b")}, Mapping[str, Path], {"a": "b"}),
        (None, Path | None, None),
        (Path("a"), Path | None, "a"),
        ("a", Literal["a", "b"], "a"),
        (Colour.RED, Literal[Colour.RED], "red"),
        (PurePosixPath("/a"), PurePosixPath, "/a"),
        ([Path("a")], Iterable[Path], ["a"]),
        ([Path("a")], Collection[Path], ["a"]),
        ({Path("a")}, AbstractSet[Path], ["a"]),
        (Place(Path("a"), 7), Place, ["a", 7]),
        (
            Tree(Path("a"), [Tree(Path("b"))]),
            Tree,
            {"name": "a", "branches": [{"name": "b", "branches": []}]},
        ),
        (Measured(Path("abc")), Measured, {"path": "abc", "length": 3}),
        (Page([Point(1, 2)]), Page[Point], {"items": [{"x": 1, "y": 2}], "after": None}),
        ([1], list[int] | Point, [1]),
        ({"a": 1}, dict[str, int] | Point, {"a": 1}),
        (1, float | Decimal, 1),
        ({"width": 1}, Options | Point, {"width": 1}),
    ],
)
def test_a_value_comes_back_as_what_it_was(value: Any, hint: Any, json_form: Any) -> None:
    stored = json.loads(json.dumps(to_json(value)))
    decode = decoder(hint)

    again = stored if decode is None else decode(stored)

    assert stored == json_form
    assert (again, type(again)) == (value, type(value))


def test_a_union_takes_the_first_member_that_fits() -> None:
    decode = decoder(int | datetime | Path)
    assert decode is not None

    assert [decode(5), decode("2026-03-29"), decode("a/b")] == [
        5,
        datetime(2026, 3, 29),  # noqa: DTZ001  # what the text says
        Path("a/b"),
    ]


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (datetime, "yesterday"),
        (Colour, "green"),
        (Point, [1, 2]),
        (Point, {"x": 1}),
        (tuple[Path, int], ["a"]),
        (list[Path], "a"),
        (Decimal, "much"),
    ],
)
def test_a_value_of_the_wrong_form_is_refused(hint: Any, value: Any) -> None:
    decode = decoder(hint)
    assert decode is not None

    with pytest.raises((TypeError, ValueError, ArithmeticError)):
        decode(value)


def test_a_pydantic_model_comes_back_also_with_an_alias() -> None:
    pydantic = pytest.importorskip("pydantic")
    order = pydantic.create_model(
        "Order", number=(int, pydantic.Field(alias="orderNumber")), made=(datetime, NOON)
    )(orderNumber=7)
    decode = decoder(type(order))
    assert decode is not None

    assert decode(json.loads(json.dumps(to_json(order)))) == order
    assert decode({"orderNumber": 7}) == order


# -- through a spool -----------------------------------------------------------------------------


def test_a_task_is_called_with_what_it_was_enqueued_with(spool: Spool) -> None:
    seen: list[Any] = []

    @spool.task
    def draw(drawing: Drawing, *paths: Path, colour: Colour = Colour.RED, **more: date) -> None:
        seen.extend([drawing, paths, colour, more])

    drawing = Drawing(NOON, [Point(1, 2)])
    draw.enqueue(drawing, Path("a"), Path("b"), colour=Colour.BLUE, on=date(2026, 1, 2))
    spool.perform_jobs_in_foreground()

    assert seen == [drawing, (Path("a"), Path("b")), Colour.BLUE, {"on": date(2026, 1, 2)}]


def test_what_is_stored_is_plain_json(spool: Spool) -> None:
    @spool.task
    def visit(at: datetime, where: Path) -> None: ...

    info = visit.enqueue(NOON, where=Path("/tmp")).info()

    assert info is not None
    assert (info.args, info.kwargs) == (["2026-03-29T12:00:00+00:00"], {"where": "/tmp"})


@pytest.mark.parametrize(
    ("args", "kwargs", "what"),
    [
        ((), {}, "missing a required argument: 'path'"),
        (("a", 1, 2), {}, "too many positional arguments"),
        (("a",), {"height": 1}, "unexpected keyword argument 'height'"),
    ],
)
def test_a_call_that_the_function_does_not_take_is_refused_at_once(
    spool: Spool, args: Any, kwargs: Any, what: str
) -> None:
    @spool.task
    def resize(path: str, width: int = 800) -> None: ...

    with pytest.raises(InvalidType, match=rf"{what}; it is resize\(path") as caught:
        resize.enqueue(*args, **kwargs)

    assert "task 'resize' cannot be called like that" in str(caught.value)
    assert list(spool.jobs()) == []


def test_an_argument_without_a_form_in_json_is_refused_at_once(spool: Spool) -> None:
    @spool.task
    def keep(thing: object) -> None: ...

    with pytest.raises(InvalidType):
        keep.enqueue(object())

    assert list(spool.jobs()) == []


def test_a_job_with_an_argument_of_the_wrong_form_fails_and_says_which(spool: Spool) -> None:
    @spool.task
    def visit(at: datetime) -> None: ...

    spool.enqueue("visit", ["yesterday"])
    spool.perform_jobs_in_foreground()

    [info] = spool.jobs()
    assert info.state == "failed"
    assert info.result["message"].startswith("task 'visit': argument 'at' is 'yesterday': ")


def test_the_job_itself_is_no_argument(spool: Spool) -> None:
    seen: list[Any] = []

    @spool.task(takes_context=True)
    def note(job: Job, where: Path) -> None:
        seen.append((job.id, where))

    job = note.enqueue(Path("a"))
    spool.perform_jobs_in_foreground()

    assert seen == [(job.id, Path("a"))]


def test_a_function_that_does_not_say_what_it_takes_is_called_with_anything(spool: Spool) -> None:
    task = spool.add_task("max", max)

    job = task.enqueue(1, 2)
    spool.perform_jobs_in_foreground()

    assert job.result(timeout=0) == 2


def test_an_annotation_that_only_a_type_checker_knows_changes_nothing(spool: Spool) -> None:
    seen: list[Any] = []

    def keep(thing: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821  # the point
        seen.append(thing)

    spool.task(keep).enqueue("a")
    spool.perform_jobs_in_foreground()

    assert seen == ["a"]


if TYPE_CHECKING:
    from nowhere import Hidden  # type: ignore[import-not-found]  # the point


def test_the_other_annotations_of_such_a_function_count(spool: Spool) -> None:
    seen: list[Any] = []

    @spool.task
    def keep(point: Point, hidden: Hidden | None = None) -> None:
        seen.append(point)

    keep.enqueue(Point(1, 2))
    spool.perform_jobs_in_foreground()

    assert seen == [Point(1, 2)]


class Mover:
    def __call__(self, point: Point) -> Point:
        return Point(point.x + 1, point.y)


def test_an_object_that_can_be_called_is_a_task_like_any_other(spool: Spool) -> None:
    move = spool.task(name="move")(Mover())

    job = move.enqueue(Point(1, 2))
    spool.perform_jobs_in_foreground()

    assert job.result(timeout=0) == Point(2, 2)


@pytest.mark.parametrize("given", [partial(max, 1), Mover(), "mail"])
def test_what_has_no_name_of_its_own_needs_one(spool: Spool, given: Any) -> None:
    with pytest.raises(InvalidType, match="name="):
        spool.task(given)


def test_an_argument_without_end_is_refused(spool: Spool) -> None:
    @spool.task
    def keep(things: list[Any]) -> None: ...

    things: list[Any] = []
    things.append(things)
    with pytest.raises(InvalidValue, match="no end"):
        keep.enqueue(things)


# -- results -------------------------------------------------------------------------------------


def test_a_result_comes_back_as_what_the_function_has_returned(spool: Spool) -> None:
    @spool.task
    def draw(x: int) -> tuple[Drawing, set[Path]]:
        return Drawing(NOON, [Point(x, 2)], Colour.RED), {Path("a")}

    job = draw.enqueue(1)
    assert_type(job, Job[tuple[Drawing, set[Path]]])
    spool.perform_jobs_in_foreground()

    result = (Drawing(NOON, [Point(1, 2)], Colour.RED), {Path("a")})
    assert job.result(timeout=0) == result
    assert asyncio.run(job.aresult()) == result
    info = job.info()
    assert info is not None
    assert info.result == [to_json(result[0]), ["a"]]


def test_a_program_that_does_not_know_the_task_reads_json(spool: Spool) -> None:
    @spool.task
    def draw() -> Point:
        return Point(1, 2)

    job = draw.enqueue()
    spool.perform_jobs_in_foreground()

    stranger = Spool(spool.backend).job(job)
    assert stranger is not None
    assert stranger.result(timeout=0) == {"x": 1, "y": 2}


def test_a_result_that_the_function_cannot_have_returned_is_said_to_be_so(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def draw(job: Job) -> Point:
        job.finish("nothing to draw")
        return Point(1, 2)

    job = draw.enqueue()
    spool.perform_jobs_in_foreground()

    with pytest.raises(InvalidType, match="its result is 'nothing to draw'"):
        job.result(timeout=0)


# -- ways to enqueue -----------------------------------------------------------------------------


def test_using_changes_the_options_of_one_call_only(spool: Spool) -> None:
    @spool.task(queue="mail", attempts=5)
    def send(delay: int) -> None: ...

    special = send.using(priority=9, delay=60).enqueue(7).info()
    usual = send.enqueue(7).info()

    assert special is not None
    assert usual is not None
    assert (special.queue, special.attempts, special.priority, special.args) == ("mail", 5, 9, [7])
    assert usual.priority == 0
    assert special.delayed - special.created == pytest.approx(60)


def test_using_refuses_an_option_that_there_is_not(spool: Spool) -> None:
    @spool.task
    def send() -> None: ...

    with pytest.raises(InvalidType, match="no option 'colour'"):
        send.using(colour="red")  # type: ignore[call-arg]  # the point


def test_delay_is_enqueue(spool: Spool) -> None:
    @spool.task
    def add(one: int, two: int) -> int:
        return one + two

    assert add.delay(1, two=2).info() is not None


def test_a_task_is_enqueued_from_asyncio(spool: Spool) -> None:
    @spool.task
    def add(one: int, two: int) -> int:
        return one + two

    async def main() -> int:
        job = await add.aenqueue(1, 2)
        spool.perform_jobs_in_foreground()
        return await job

    assert asyncio.run(main()) == 3


def test_made_calls_are_enqueued_together(spool: Spool) -> None:
    @spool.task
    def resize(path: Path, width: int = 1) -> None: ...

    ids = spool.enqueue_many([resize.make(Path("a")), resize.make(Path("b"), width=2)])

    infos = {info.id: (info.args, info.kwargs) for info in spool.jobs(ids=ids)}
    assert [infos[id_] for id_ in ids] == [(["a"], {}), (["b"], {"width": 2})]


def test_types_go_from_the_function_to_the_result(spool: Spool) -> None:
    @spool.task
    def length(text: str) -> int:
        return len(text)

    @spool.task(queue="other")
    async def shout(text: str) -> str:
        return text.upper()

    assert_type(length("abc"), int)
    one, two = length.enqueue("abc"), shout.enqueue("abc")
    assert_type(one, Job[int])
    assert_type(two, Job[str])
    length.enqueue(1)  # type: ignore[arg-type]  # the point: a type checker sees it
    spool.perform_jobs_in_foreground(queues=["default", "other"])

    assert (one.result(timeout=0) + 1, two.result(timeout=0).lower()) == (4, "abc")
