"""Power loss"""

from __future__ import annotations

from pathlib import Path
import os, time
from typing import Any

import pytest

from tests.crash.scenarios import SCENARIOS, Act, Scenario
from tests.crash.trial import Fault, Ground, open_spool, perform, verify
from tests.support.faults import Mount
from tests.support.powerloss import Cut, Tape, cuts


def recorded(ground: Ground, mount: Mount) -> Tape:
    root = ground.copy()
    tape = Tape(os.path.dirname(root))
    clock = ground.now()
    backend = open_spool(root, ground.scenario, clock, tape, durability="full", mount=mount)
    world = ground.world(backend, clock, root)
    perform(world, ground.scenario.acts, lambda _, answer: tape.acknowledge(answer))
    return tape

def test_all(tmp_path: Path) -> None:
    import shutil
    total = 0
    for scenario in SCENARIOS:
        if scenario.set_aside: continue
        d=tmp_path/scenario.name
        d.mkdir()
        ground = Ground(scenario, d)
        for mount in ("ext4","btrfs","nfs"):
            tape = recorded(ground, mount)
            bad = []
            n=0
            t=time.time()
            for cut in cuts(tape, ordered=mount=="ext4", seed=None):
                n+=1
                directory=d/f"cut-{mount}-{n}"
                cut.image.write_to(str(directory))
                try:
                    verify(ground, Fault(f"{directory}/spool", cut.answers, [], power_loss=True))
                except Exception as e:
                    bad.append((cut.at, cut.model, len(cut.answers), e))
            total+=n
            print(f"{scenario.name} {mount} steps={len(tape.steps)} states={n} {'BAD' if bad else 'ok'} {len(bad)}", flush=True)
            for b in bad[:2]: print("   ", b[:3], type(b[3]).__name__, str(b[3])[:1800])
    print(total)
