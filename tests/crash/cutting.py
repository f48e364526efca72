"""Power loss: the acts of a scenario on a tape, and what a cut leaves, on a real disk again."""

from __future__ import annotations

import os

from tests.crash.trial import Fault, Ground, issued, open_spool, perform
from tests.support.faults import Death, Die, Mount
from tests.support.powerloss import Cut, Tape


def recorded(ground: Ground, mount: Mount) -> Tape:
    """What the acts of a scenario do to the disk, and when they answer."""
    root = ground.copy()
    tape = Tape(os.path.dirname(root))
    act(ground, root, tape, mount)
    return tape


def after(ground: Ground, cut: Cut, mount: Mount) -> Fault:
    """What is left after a cut, on a real disk again."""
    directory = ground.place()
    cut.image.write_to(directory)
    ids = issued(ground.scenario, cut.answers)
    return Fault(f"{directory}/spool", cut.answers, [], True, mount, ids)


def act(ground: Ground, root: str, tape: Tape, mount: Mount = "btrfs", *, begun: int = 0) -> None:
    """Do all acts but those that another process has done, and note when they answer."""
    clock = ground.now()
    backend = open_spool(root, ground.scenario, clock, tape, durability="full", mount=mount)
    perform(ground.world(backend, clock, root), ground.scenario.acts[begun:], tape.acknowledge)


def dies_opening(ground: Ground, root: str, at: int) -> bool:
    """Open the spool after a boot and die at a change; False when there were not so many."""
    plan = Die(at)
    plan.boot = "the next one"
    try:
        open_spool(root, ground.scenario, ground.now(), plan, durability="full", mount="btrfs")
    except Death:
        return True
    return False


def dies_acting(ground: Ground, root: str, tape: Tape, at: int) -> int | None:
    """Act and die at a change; in which act, None when they all came to an end."""
    tape.dies_in = at
    try:
        act(ground, root, tape)
    except Death:
        return sum(step.kind == "ack" for step in tape.steps)
    finally:
        tape.dies_in = 0
    return None
