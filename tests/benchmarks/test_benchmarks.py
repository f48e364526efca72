"""The benchmarks count right and compare what was measured side by side."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

from spoolq.memory import MemoryBackend
from tests.benchmarks.floor import Floor
from tests.benchmarks.measure import alternate, percentile, ratios
from tests.benchmarks.minion import SpoolSubject, share
from tests.benchmarks.processes import Helper, in_processes
from tests.benchmarks.report import Goal, Row, at_least, compared, table


def test_steps_take_turns_round_by_round() -> None:
    moments = itertools.count()

    def step() -> float:
        return next(moments)

    assert alternate(3, {"ours": step, "theirs": step}) == {
        "ours": [0, 2, 4],
        "theirs": [1, 3, 5],
    }


def test_a_ratio_is_taken_within_its_round() -> None:
    slow_second_round = ratios([100, 10, 120], [200, 20, 200])

    assert (slow_second_round.low, slow_second_round.median) == (0.5, 0.5)
    assert slow_second_round.high == 0.6


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (99, 10), (100, 10), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_a_goal_may_be_a_ratio_or_a_figure() -> None:
    row = compared("enqueue", [500], "raw floor", [1000], goal=at_least(0.5))
    slow = Row("claim", 3.0, "ms", goal=Goal("value", 2, at_most=True))

    assert (row.ok, slow.ok) == (True, False)


def test_the_table_shows_what_was_missed() -> None:
    row = compared("enqueue", [50_000], "raw floor", [100_000], goal=at_least(0.8))

    assert "| 50,000/s | raw floor | 100,000/s | 0.50 (0.50 to 0.50)" in table([row])
    assert table([row]).endswith("| ≥ 0.8 | NO |")


def test_processes_share_the_work(tmp_path: Path) -> None:
    rates = in_processes(3, lambda number: (tmp_path / str(number)).touch(), 3)

    assert sorted(os.listdir(tmp_path)) == ["0", "1", "2"]
    assert rates.overall > 0


def test_a_failed_process_is_no_measurement(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="1 of 2 processes failed"):
        in_processes(2, lambda number: 1 // number, 2)

    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_helper_that_died_is_an_error() -> None:
    with Helper([sys.executable, "-c", ""]) as helper, pytest.raises(RuntimeError, match="ended"):
        helper.ask("anything", 1)


@pytest.mark.parametrize("durable", [False, True])
def test_the_floor_leaves_every_job_where_it_belongs(tmp_path: Path, durable: bool) -> None:
    floor = Floor(str(tmp_path))

    floor.enqueue(5, durable=durable)
    floor.batch(5, durable=durable)
    floor.drain(2, 2, 3, durable=durable, settled=durable)

    left = {
        os.path.relpath(directory, tmp_path): len(files)
        for directory, _, files in os.walk(tmp_path)
        if files
    }
    assert left == {"1/ready": 5, "2/ready/batch": 5, "3/finished": 12}


def test_minions_phases_leave_what_minion_leaves() -> None:
    backend = MemoryBackend()
    subject = SpoolSubject(backend, limit=10)
    subject.prepare(5)
    subject.enqueue(8)
    subject.children(3)
    share(backend, 2, 2, settle=False)
    share(backend, 1, 2, settle=True)
    subject.lock(20)
    subject.unlock(19)

    stats = backend.stats()
    assert stats["finished_jobs"] == 5 + 4 + 2
    assert stats["inactive_jobs"] == 2 + 3
    assert stats["active_locks"] == 1
    assert stats["inactive_workers"] == 0
    assert backend.list_jobs(ids=[6]).rows[0].result == {"minion_bench": 6}
