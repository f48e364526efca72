"""The power is cut after every change of the disk, and what was not synced is gone.

The acts run once, on a tape. From it come the trees that a file system may show after a cut at
each point (`tests/support/powerloss.py` has the rules); each is made real, opened, repaired
twice, and must show everything that had been acknowledged when the power went.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.conftest import Count
from tests.crash.cutting import act, after, dies_acting, dies_opening, recorded
from tests.crash.scenarios import FEW, SCENARIOS, Scenario
from tests.crash.trial import Ground, verify, verify_together
from tests.support.faults import Mount
from tests.support.powerloss import Tape, cuts, last_cut

# A file that was set aside has to be two seconds old, and after a cut every file is new.
LOSABLE = [item for item in SCENARIOS if not item.set_aside]
# Whoever goes on after a death does not know what the dead one had claimed.
_ALONE = {"a-day-in-the-life", "dequeue-removes-lanes-that-stay-dry"}
CONTINUED = [item for item in LOSABLE if not item.renewed and item.name not in _ALONE]


def name(item: object) -> str:
    return item.name if isinstance(item, Scenario) else str(item)


# A file system that forgets more is in the default run, with a few scenarios.
QUICK = [
    pytest.param(
        item,
        mount,
        marks=() if mount == "btrfs" and item.name in FEW else pytest.mark.slow,
        id=f"{item.name}-{mount}",
    )
    for item in LOSABLE
    for mount in ("ext4", "btrfs")
]
every_scenario = pytest.mark.parametrize("scenario", LOSABLE, ids=name)


@pytest.mark.parametrize(("scenario", "mount"), QUICK)
def test_what_was_acknowledged_survives_a_power_cut_after_any_change(
    scenario: Scenario, mount: Mount, scratch: Path, count: Count
) -> None:
    ground = Ground(scenario, scratch)
    number = 0

    for cut in cuts(recorded(ground, mount), mount):
        number += 1
        verify(ground, after(ground, cut, mount))

    count("power cuts", number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mount", "seed"), [("ext4", 1), ("btrfs", 2), ("btrfs", 3), ("overlay", 4), ("nfs", 5)]
)
@every_scenario
def test_what_was_acknowledged_survives_whatever_else_is_lost(
    scenario: Scenario, mount: Mount, seed: int, scratch: Path, count: Count
) -> None:
    ground = Ground(scenario, scratch)
    number = 0

    for cut in cuts(recorded(ground, mount), mount, seed=seed):
        number += 1
        verify(ground, after(ground, cut, mount))

    count("power cuts", number)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CONTINUED, ids=name)
def test_what_is_built_on_the_unsynced_work_of_a_dead_process_survives(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    # One process dies at a change, another one goes on with the act that was under way; then the
    # power goes. What the first one left was never synced, unless the second one did it.
    ground = Ground(scenario, scratch)
    number = 0

    while True:
        root = ground.copy()
        tape = Tape(os.path.dirname(root))
        begun = dies_acting(ground, root, tape, number + 1)
        if begun is None:
            break
        number += 1
        act(ground, root, tape, begun=begun)
        verify_together(ground, after(ground, last_cut(tape, "btrfs"), "btrfs"), begun)

    count("power cuts after a death", number)


@pytest.mark.slow
@pytest.mark.exhaustive
@every_scenario
def test_who_recovers_from_power_loss_may_die_at_any_change(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    ground, number = Ground(scenario, scratch), 0

    for cut in cuts(recorded(ground, "btrfs"), "btrfs"):
        lost, died, at = after(ground, cut, "btrfs"), True, 0
        while died:
            at += 1
            root = ground.copy(lost.root) if os.path.isdir(lost.root) else ground.copy()
            died = dies_opening(ground, root, at)
            verify(ground, replace(lost, root=root))
        number += at

    count("power cuts and deaths", number)
