"""The timeout of an attempt, and what a pause does to it."""

from __future__ import annotations

import signal

from spoolq.runners.deadline import GRACE, Deadline
from tests.support import FakeClock


def test_the_time_stands_still_while_a_job_is_paused(clock: FakeClock) -> None:
    deadline = Deadline(10, clock)
    clock.advance(4)
    deadline.pause()
    clock.advance(100)
    assert (deadline.signal(), deadline.left()) == (None, None)

    deadline.resume()
    assert deadline.left() == 6
    clock.advance(6)
    assert deadline.signal() == signal.SIGTERM


def test_a_pause_does_not_save_a_job_whose_time_is_over(clock: FakeClock) -> None:
    deadline = Deadline(10, clock)
    clock.advance(10)
    assert deadline.signal() == signal.SIGTERM

    deadline.pause()
    clock.advance(GRACE)

    assert deadline.signal() == signal.SIGKILL


def test_pausing_twice_counts_once_and_no_timeout_stays_none(clock: FakeClock) -> None:
    deadline, endless = Deadline(10, clock), Deadline(None, clock)
    deadline.pause()
    clock.advance(5)
    deadline.pause()
    endless.pause()
    clock.advance(5)
    for paused in (deadline, endless):
        paused.resume()
        paused.resume()

    assert (deadline.left(), endless.left()) == (10, None)
