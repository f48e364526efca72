"""What may be claimed, and when to look again: decisions without a worker."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.errors import InvalidType, InvalidValue
from spoolq.loop import plan
from spoolq.loop.plan import Terms


@pytest.mark.minion(380)
def test_what_is_missing_of_a_status_is_filled_in_and_the_rest_is_kept() -> None:
    status: dict[str, Any] = {"jobs": 2, "queues": ("a", "b"), "mine": "too"}

    plan.fill_in(status, heartbeat=10.0)

    assert status.keys() == {*plan.DEFAULTS, "mine"}
    assert (status["jobs"], status["queues"], status["mine"]) == (2, ["a", "b"], "too")
    assert (status["spare"], status["spare_min_priority"], status["type"]) == (1, 1, "Python")


@pytest.mark.minion(380)
def test_workers_that_start_together_do_not_repair_together() -> None:
    found = set()
    for _ in range(50):
        status: dict[str, Any] = {"repair_interval": 100}
        plan.fill_in(status, heartbeat=10.0)
        found.add(status["repair_interval"])

    assert len(found) > 5
    assert all(50 < interval <= 100 for interval in found)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("jobs", -1, InvalidValue),
        ("jobs", 1.5, InvalidValue),
        ("spare", True, InvalidValue),
        ("limits", {"a": -1}, InvalidType),
        ("limits", ["a"], InvalidType),
        ("queues", "default", InvalidType),
        ("queues", [1], InvalidType),
        ("heartbeat_interval", 0, InvalidValue),
        ("dequeue_timeout", "5", InvalidType),
        ("dequeue_timeout", float("nan"), InvalidValue),
        ("spare_min_priority", None, InvalidType),
    ],
)
def test_a_status_that_makes_no_sense_is_refused(
    key: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        plan.fill_in({key: value}, heartbeat=10.0)


@pytest.mark.parametrize("option", ["idle_exit", "max_jobs", "grace"])
def test_terms_below_nothing_are_refused(option: str) -> None:
    with pytest.raises(InvalidValue):
        Terms(**{option: -1})  # type: ignore[arg-type]


@pytest.mark.minion(385, 387)
@pytest.mark.parametrize(
    ("running", "room"), [(0, "any"), (1, "any"), (2, "high"), (3, "none"), (4, "none")]
)
def test_spare_slots_come_after_the_others_and_only_for_high_priority(
    running: int, room: str
) -> None:
    assert plan.room(running, {"jobs": 2, "spare": 1}) == room


@pytest.mark.minion(390)
def test_a_task_at_its_limit_is_not_wanted_and_the_order_stays() -> None:
    available = ["c", "foo", "a"]

    assert plan.wanted(available, {}, {"foo": 9}) == available
    assert plan.wanted(available, {"foo": 2}, {"foo": 1}) == available
    assert plan.wanted(available, {"foo": 2}, {"foo": 2}) == ["c", "a"]
    assert plan.wanted(available, {"foo": 2}, {"foo": 3}) == ["c", "a"]
    assert plan.wanted(available, {"foo": 0}, {}) == ["c", "a"]


@pytest.mark.minion(300)
@pytest.mark.parametrize("value", [-3, "-3", "abc", None, 1.0, True, "", "٣", "1" * 10])
def test_nonsense_is_no_count(value: object) -> None:
    assert plan.count(value) is None


@pytest.mark.parametrize(("value", "number"), [(0, 0), (7, 7), ("0", 0), ("12", 12)])
def test_a_count_is_a_whole_number_or_its_digits(value: object, number: int) -> None:
    assert plan.count(value) == number


def test_where_no_bell_rings_the_looks_grow_rarer_and_stay_within_the_longest_wait() -> None:
    first = plan.pause(5, hears=False, idle=0)
    later = plan.pause(5, hears=False, idle=1000)

    assert 0 < first <= plan.DEAF[0]
    assert 0.8 * plan.DEAF[1] <= later <= plan.DEAF[1]
    assert plan.pause(0.1, hears=True, idle=0) <= 0.1


@pytest.mark.parametrize("missing_after", [0.1, 1, 30, 120, 1800, 86400])
def test_a_lease_ends_before_others_may_act_and_outlives_a_heartbeat(missing_after: float) -> None:
    heartbeat = min(plan.HEARTBEAT, missing_after / 3)
    margin = plan.margin(missing_after, heartbeat)

    assert margin >= min(missing_after / 100, missing_after / 3)
    assert missing_after - margin > heartbeat
