"""kill -9 before and after every change of the disk, in every operation.

A forked child acts and dies; it tells its answers through a pipe, so what it acknowledged is
known. Then somebody else opens the spool, repairs it twice, and everything must be as it was
before the act that died or as it is after it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.conftest import Count
from tests.crash.dying import changes, dies, killed
from tests.crash.scenarios import FEW, SCENARIOS, Act, Scenario, look, repair
from tests.crash.trial import Fault, Ground, verify
from tests.support.faults import Kill, Mount, When

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)
# The default run has a few scenarios, CI has them all.
each_scenario = pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(item, id=item.name, marks=() if item.name in FEW else pytest.mark.slow)
        for item in SCENARIOS
    ],
)
every_mount = pytest.mark.parametrize("mount", ["ext4", "nfs"])


@each_scenario
def test_killed_before_any_change_it_has_happened_or_it_has_not(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    # What is on the disk before a change is what was there after the one before it.
    count("kills", kill_at_each(Ground(scenario, scratch), "before"))


@pytest.mark.slow
@pytest.mark.exhaustive
@every_mount
@every_scenario
def test_killed_before_or_after_any_change_on_any_file_system(
    scenario: Scenario, mount: Mount, scratch: Path, count: Count
) -> None:
    ground = Ground(scenario, scratch)

    count("kills", kill_at_each(ground, "before", mount) + kill_at_each(ground, "after", mount))


@pytest.mark.slow
@every_mount
def test_durability_adds_syncs_and_no_other_change(mount: Mount, scratch: Path) -> None:
    for scenario in SCENARIOS:
        ground = Ground(scenario, scratch / scenario.name)

        # A directory is touched when it was changed within the last twentieth of a second, and
        # what was read of it is not remembered, for which the server is asked for its time: whether
        # that is so depends on how busy the machine is.
        kinds = [
            [
                call.kind
                for call in changes(ground, mount=mount, durability=durability)
                if call.kind != "utime" and "/tmp/clock." not in str(call.args[0])
            ]
            for durability in ("none", "full")
        ]

        assert kinds[0] == kinds[1], scenario.name


REPAIRS = [item for item in SCENARIOS if item.name.startswith("repair")]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", REPAIRS, ids=lambda item: item.name)
def test_what_a_repairer_leaves_when_it_is_killed_the_next_one_completes(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    ground = Ground(scenario, scratch)
    last = len(changes(ground))

    for at in range(1, last + 1):
        first = killed(ground, Kill(at, "before"))
        # Of what is left to do the second one does about half.
        second = dies(ground, first.root, repair, 1 + (last - at) // 2)
        verify(ground, Fault(first.root, first.answers, [*first.born, *second.born]))

    count("kills of two repairers", last)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("act", [repair, look], ids=["repair", "look"])
@every_scenario
def test_whoever_continues_after_a_kill_may_be_killed_at_any_change(
    scenario: Scenario, act: Act, scratch: Path, count: Count
) -> None:
    ground, total = Ground(scenario, scratch), 0

    for at in range(1, len(changes(ground)) + 1):
        first = killed(ground, Kill(at, "before"))
        died, then = True, 0
        while died and os.path.exists(f"{first.root}/FORMAT"):
            then += 1
            root = ground.copy(first.root)
            second = dies(ground, root, act, then)
            died = second.died
            verify(ground, Fault(root, first.answers, [*first.born, *second.born]))
        total += then

    count("kills of a second process", total)


def kill_at_each(ground: Ground, when: When, mount: Mount = "ext4") -> int:
    """Kill at every change in turn until nothing is killed; how many kills there were."""
    kills, died = 0, True
    while died:
        fault = killed(ground, Kill(kills + 1, when), mount=mount)
        verify(ground, fault)
        died = fault.died
        kills += died
    return kills
