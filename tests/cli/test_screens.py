"""What is drawn, to the character: on a terminal of 80 columns, and into a pipe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest

from spoolq import Spool
from spoolq.cli.tables import cells
from spoolq.files.fs import mounted
from tests.cli.conftest import Shell, Terminal, make_shell
from tests.cli.scene import play
from tests.support.zygote import Zygote

BAR: Final = re.compile(r"\r\x1b\[K[^\r]*\r\x1b\[K")
VARYING: Final = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z": "TIME",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "DAY TIME UTC",
    r"\b\d\d:\d\d:\d\d\b": "TIME",
    r"(/\d+)?/(\d+)\.\d[^ \n]*\.json": r"/\2.json",
    r"\b\d+-[0-9a-f]{32}\b": "WORKER",
    r"\b\d+\.\d{3,}\b": "SECONDS",
    r"\d+ problems?, \d+ warnings?": "PROBLEMS",  # some are this host's
    r"spoolq \d+\.\d+\.\d+": "spoolq VERSION",
}


@pytest.fixture(scope="module")
def scene(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = make_shell(tmp_path_factory.mktemp("scene"), zygote)
    play(shell.root)
    Spool(shell.root, durability="none").lock("gpu:0", 7230)
    shell.env["TZ"] = "UTC"
    return shell


def plain(text: str, root: Path) -> str:
    """Without what differs from run to run: times, names of files, the place, this host."""
    disk = " ".join(mounted(str(root)))
    text = BAR.sub("", text).replace(str(root), "SPOOL").replace(f"SPOOL  {disk}", "SPOOL  DISK")
    text = text.replace(f"on {os.uname().nodename}", "on HOST")
    for pattern, instead in VARYING.items():
        text = re.sub(pattern, instead, text)
    return text


SCREENS: Final = {
    ("list",): """\
ID  STATE    QUEUE    TASK    PRIO  AGE  TIME  TRY  REASON
3   active   default  resize     0   4m    4m  1/1  on node07, pid 4182
4   ready    mail     send       5   4m     –  0/1  should start any moment
5   ready    gpu      train      0   4m     –  0/1  no worker serves gpu
7   delayed  mail     send       0   4m     –  0/1  due in 19m
6   blocked  default  report     0   4m     –  0/1  parent 2 failed
2   failed   default  resize     0  12m    2m  2/2  ValueError: bad width -1
6 of 6 shown · 1 finished not shown (-a) · SPOOL on HOST
""",
    ("list", "state:ready,blocked"): """\
ID  STATE    QUEUE    TASK    PRIO  AGE  TIME  TRY  REASON
4   ready    mail     send       5   4m     –  0/1  should start any moment
5   ready    gpu      train      0   4m     –  0/1  no worker serves gpu
6   blocked  default  report     0   4m     –  0/1  parent 2 failed
3 of 3 shown · SPOOL on HOST
""",
    ("show", "2"): """\
● 2  resize                                                              failed
     Queue: default   Priority: 0   Attempts: 2 of 2
   Created: DAY TIME UTC (12m ago)
  Finished: DAY TIME UTC (9m ago), ran 2m on node07:4182
     Error: ValueError: bad width -1
      Args: "photo.jpg"  width=-1
     Notes: batch=7
   Parents: none   Children: 6 (blocked)
      File: SPOOL/failed/2.json

  TIME  enqueued
  TIME  attempt 1 on node07:4182  failed after 0s  bad width -1
  TIME  attempt 2 on node07:4182  failed after 2m  bad width -1
  again: spoolq retry 2    all of its output: spoolq logs 2
""",
    ("show", "3"): """\
● 3  resize                                                              active
     Queue: default   Priority: 0   Attempts: 1 of 1
   Created: DAY TIME UTC (4m ago)
   Started: DAY TIME UTC (4m ago) on node07, pid 4182
      Args: "big.jpg"
     Notes: progress=61% scaling
   Parents: none   Children: none
      File: SPOOL/active/WORKER/3.json

  TIME  enqueued
  TIME  attempt 1 on node07, pid 4182
""",
    ("show", "6"): """\
● 6  report                                                             blocked
     Queue: default   Priority: 0   Attempts: 0 of 1
   Created: DAY TIME UTC (4m ago)
    Reason: parent 2 failed
   Parents: 2   Children: none
      File: SPOOL/inactive/default/waiting/2/6.json

  TIME  enqueued
""",
    ("why", "5"): """\
5 train is ready but not running, because
  ✗ no live worker serves queue gpu
      1 live worker serves: default, mail
      last one for gpu: node09:3311, silent for 2h00m (probably dead)
  ✓ not delayed   ✓ no parents   ✓ queue not paused   ✓ no limit reached
  fix: spoolq worker -q gpu      or: spoolq process -q gpu
""",
    ("why", "6"): """\
6 report is blocked, because
  ✗ parent 2 failed
  ✗ no worker knows task report
      known: resize, send
  ✓ not delayed   ✓ queue not paused   ✓ no limit reached
  fix: spoolq retry 2      or: spoolq retry --lax 6
""",
    ("why", "4"): """\
4 send is ready and should start any moment
  ✓ not delayed   ✓ no parents   ✓ queue not paused   ✓ no limit reached
  ✓ task 'send' is known to 1 of 1 live worker
""",
    ("why", "2"): """\
2 resize failed: ValueError: bad width -1
  fix: spoolq logs 2      then: spoolq retry 2
""",
    ("wait", "1"): """\
finished in 0s, result: "old-800.jpg"
""",
    ("wait", "2"): """\
failed in 2m: ValueError: bad width -1
""",
    ("wait", "1", "2"): """\
2 jobs  1 finished  1 failed  0s
failed: 2
""",
    ("stats",): """\
SPOOL  DISK  format 1  spoolq VERSION
QUEUE    READY  DELAYED  BLOCKED  ACTIVE  FAILED  OLDEST  LAST 10 MIN
default      0        0        1       1       1          ▁▁▁▁▁▁▁▁▁▁   0/10min
gpu          1        0        0       0       0      4m  no worker
mail         1        1        0       0       0      4m  ▁▁▁▁▁▁▁▁▁▁   0/10min
total        2        1        1       1       1      4m               0/10min

last 24 h   1 finished   1 failed (50.00 %)   run p50 0.0s p95 0.0s
workers     1 live, 1 silent, 1 of 8 slots busy    locks 1
needs attention: spoolq doctor (PROBLEMS at a glance)
""",
    ("workers",): """\
WORKER  HOST     PID  STATE   SLOTS  QUEUES        UP   BEAT  TASKS
2       node07  4182  busy      1/8  default,mail  2d     1m  resize,send
1       node09  3311  silent    ?/4  gpu           2d  2h00m  resize,send
silent: no heartbeat of 1 for 2h00m
""",
    ("logs", "2"): """\
""",
    ("logs", "-f", "1"): """\
finished in 0s, result: "old-800.jpg"
""",
    ("locks",): """\
ID  NAME   EXPIRES
1   gpu:0  in 2h00m
""",
    (): """\
QUEUE    READY  DELAYED  BLOCKED  ACTIVE  FAILED  OLDEST  LAST 10 MIN
default      0        0        1       1       1          ▁▁▁▁▁▁▁▁▁▁   0/10min
gpu          1        0        0       0       0      4m  no worker
mail         1        1        0       0       0      4m  ▁▁▁▁▁▁▁▁▁▁   0/10min
total        2        1        1       1       1      4m               0/10min

ID  STATE    QUEUE    TASK    PRIO  AGE  TIME  TRY  REASON
3   active   default  resize     0   4m    4m  1/1  on node07, pid 4182
4   ready    mail     send       5   4m     –  0/1  should start any moment
5   ready    gpu      train      0   4m     –  0/1  no worker serves gpu
7   delayed  mail     send       0   4m     –  0/1  due in 19m
6   blocked  default  report     0   4m     –  0/1  parent 2 failed
2   failed   default  resize     0  12m    2m  2/2  ValueError: bad width -1
6 of 6 shown · 1 finished not shown (-a) · SPOOL on HOST
""",
}


ADDED: Final = {
    ("enqueue", "-q", "mail", "send", "bob@example.org"): """\
8
ready in queue mail, 1 job ahead, 1 worker serves it
  spoolq logs -f 8    spoolq wait 8
""",
    ("enqueue", "-d", "1h", "send", "bob@example.org"): """\
8
waits in queue default, 1 worker serves it
  spoolq logs -f 8    spoolq wait 8
""",
    ("enqueue", "-q", "gpu", "train", "cfg.yml"): """\
8
warning: no live worker serves queue gpu; the job will wait
  start one:  spoolq worker -q gpu       once, here:  spoolq process -q gpu
""",
    ("enqueue", "report"): """\
8
warning: no worker of queue default knows task report; the job will wait
  why:  spoolq why 8
""",
    ("enqueue", "--hold", "report"): """\
8
held in queue default; spoolq release 8 lets it start
""",
}


@pytest.mark.parametrize("words", ADDED, ids=" ".join)
def test_who_adds_a_job_is_told_who_will_run_it(shell: Shell, words: tuple[str, ...]) -> None:
    play(shell.root)

    assert plain(Terminal(shell).run(*words).out, shell.root) == ADDED[words]


@pytest.mark.parametrize("words", SCREENS, ids=" ".join)
def test_a_screen_is_drawn_as_it_was_designed(scene: Shell, words: tuple[str, ...]) -> None:
    assert plain(Terminal(scene).run(*words).out, scene.root) == SCREENS[words]


PIPED: Final = {
    ("list",): """\
ID\tSTATE\tQUEUE\tTASK\tPRIO\tCREATED\tSTARTED\tFINISHED\tTRY\tREASON\tCOMMAND
7\tdelayed\tmail\tsend\t0\tTIME\t\t\t0/1\tdue in 19m\tsend
6\tblocked\tdefault\treport\t0\tTIME\t\t\t0/1\tparent 2 failed\treport
5\tready\tgpu\ttrain\t0\tTIME\t\t\t0/1\tno worker serves gpu\ttrain cfg.yml
4\tready\tmail\tsend\t5\tTIME\t\t\t0/1\tshould start any moment\tsend ann@example.org
3\tactive\tdefault\tresize\t0\tTIME\tTIME\t\t1/1\ton node07, pid 4182\tresize big.jpg
2\tfailed\tdefault\tresize\t0\tTIME\tTIME\tTIME\t2/2\tValueError: bad width -1\tresize photo.jpg
1\tfinished\tdefault\tresize\t0\tTIME\tTIME\tTIME\t1/1\tfinished\tresize old.jpg
""",
    ("list", "-o", "ids"): """\
7
6
5
4
3
2
1
""",
    ("show", "2"): """\
Id: 2
Task: resize
State: failed
Queue: default
Priority: 0
Attempts: 2 of 2
Created: DAY TIME UTC (12m ago)
Finished: DAY TIME UTC (9m ago), ran 2m on node07:4182
Error: ValueError: bad width -1
Args: "photo.jpg"  width=-1
Notes: batch=7
Parents: none
Children: 6 (blocked)
File: SPOOL/failed/2.json

  TIME  enqueued
  TIME  attempt 1 on node07:4182  failed after 0s  bad width -1
  TIME  attempt 2 on node07:4182  failed after 2m  bad width -1
""",
    ("why", "5"): """\
5 train is ready but not running, because
  ✗ no live worker serves queue gpu
      1 live worker serves: default, mail
      last one for gpu: node09:3311, silent for 2h00m (probably dead)
  ✓ not delayed   ✓ no parents   ✓ queue not paused   ✓ no limit reached
  fix: spoolq worker -q gpu      or: spoolq process -q gpu
""",
    ("wait", "1", "2"): """\
2 jobs  1 finished  1 failed  0s
failed: 2
""",
    ("wait", "1"): """\
""",
    ("stats",): """\
active_jobs\t1
active_locks\t1
active_workers\t1
delayed_jobs\t2
enqueued_jobs\t7
failed_jobs\t1
finished_jobs\t1
inactive_jobs\t4
inactive_schedules\t0
inactive_workers\t1
schedules\t0
uptime\tSECONDS
workers\t2
""",
    ("stats", "-o", "tsv"): """\
QUEUE\tREADY\tDELAYED\tBLOCKED\tHELD\tACTIVE\tFAILED\tOLDEST\tLAST_10_MIN
default\t0\t0\t1\t0\t1\t1\t\t0
gpu\t1\t0\t0\t0\t0\t0\tSECONDS\t0
mail\t1\t1\t0\t0\t0\t0\tSECONDS\t0
""",
    ("workers",): """\
WORKER\tHOST\tPID\tSTATE\tJOBS\tSLOTS\tQUEUES\tSTARTED\tNOTIFIED\tCLOCK\tVERSION
2\tnode07\t4182\tbusy\t1\t8\tdefault,mail\tTIME\tTIME\t\t
1\tnode09\t3311\tsilent\t0\t4\tgpu\tTIME\tTIME\t\t
""",
    ("locks",): """\
ID\tNAME\tEXPIRES
1\tgpu:0\tTIME
""",
    ("logs", "1"): """\
""",
}


@pytest.mark.parametrize("words", PIPED, ids=" ".join)
def test_a_pipe_is_given_everything_and_nothing_for_the_eye(
    scene: Shell, words: tuple[str, ...]
) -> None:
    assert plain(scene.run(*words).out, scene.root) == PIPED[words]


def test_a_narrow_terminal_does_without_the_columns_that_say_least(scene: Shell) -> None:
    head, *rows = Terminal(scene).run("list", columns=40).out.splitlines()[:-1]

    assert head.split() == ["ID", "STATE", "TASK", "REASON"]
    assert all(len(row) <= 40 for row in [head, *rows])


def test_a_wide_terminal_has_room_for_what_is_extra(scene: Shell) -> None:
    head, active, *_ = Terminal(scene).run("list", columns=120).out.splitlines()

    assert head.split()[-1] == "NOTE"
    assert active.endswith("61% scaling")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_long_command_line_leaves_why_on_one_line(shell: Shell, columns: int) -> None:
    shell.ok("add", "echo", "日本語" * 60)

    first = Terminal(shell).run("why", columns=columns).out.splitlines()[0]

    assert first.endswith("… is ready but not running, because")
    assert cells(first) <= columns
